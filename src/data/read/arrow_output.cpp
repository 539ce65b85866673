#include "data/read/arrow_output.h"

#include <arrow/result.h>
#include <arrow/status.h>

#include <interplay/base/error.h>
#include <interplay/base/file_calls.h>

namespace interplay {
namespace {

class ArrowOutput final : public arrow::io::OutputStream {
 public:
  explicit ArrowOutput(OutputFile& file) : file_(file) {}
  ~ArrowOutput() override = default;

  arrow::Status Write(const void* bytes, int64_t count) override {
    if (closed_) return arrow::Status::Invalid("written to after its end");
    try {
      file_.write({static_cast<const char*>(bytes), size_t(count)});
    } catch (const Error& problem) {  // Arrow's own code is not made for exceptions
      const std::string what = problem.what(), place = detail::final_name(file_.path()) + ": ";
      return arrow::Status::IOError(what.starts_with(place) ? what.substr(place.size()) : what);
    }
    return arrow::Status::OK();
  }
  using arrow::io::OutputStream::Write;
  arrow::Status Close() override {
    closed_ = true;
    return arrow::Status::OK();
  }
  bool closed() const override { return closed_; }
  arrow::Result<int64_t> Tell() const override { return file_.size(); }

 private:
  OutputFile& file_;
  bool closed_ = false;
};

}  // namespace

std::shared_ptr<arrow::io::OutputStream> arrow_output(OutputFile& file) { return std::make_shared<ArrowOutput>(file); }

}  // namespace interplay
