// Vectors from .npy files, NumPy's own format (NEP 1): a magic, a version, the length of a header that is a Python
// dictionary, the header, the numbers.
#include <algorithm>
#include <charconv>
#include <cstring>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/data/keyed_vectors.h>

namespace fs = std::filesystem;

namespace interplay {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr const char* kSaveAs = "save it by numpy.save(file, vectors.astype('<f4', order='C'))";

/// The header's three entries, read as they may be written: `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2),
/// }`.
class HeaderReader {
 public:
  HeaderReader(std::string_view text, const std::string& file) : rest_(text), file_(file) { read(); }
  std::string descr;
  bool fortran_order = false;
  std::vector<int64_t> shape;

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(fmt::format("{}: its header {}; the file is damaged, or not of numpy.save()", file_, what),
                ErrorKind::data);
  }
  void skip_spaces() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\n')) rest_.remove_prefix(1);
  }
  bool accept(std::string_view word) {
    skip_spaces();
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  void expect(std::string_view word) {
    if (!accept(word)) fail(fmt::format("lacks a '{}'", word));
  }
  std::string quoted() {
    skip_spaces();
    if (rest_.empty() || (rest_.front() != '\'' && rest_.front() != '"')) fail("lacks a text in quotes");
    const size_t end = rest_.find(rest_.front(), 1);
    if (end == std::string_view::npos) fail("has a text that does not end");
    std::string out(rest_.substr(1, end - 1));
    rest_.remove_prefix(end + 1);
    return out;
  }
  void read_shape() {
    expect("(");
    while (!accept(")")) {
      skip_spaces();
      int64_t size = 0;
      const auto [end, problem] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), size);
      if (problem != std::errc() || size < 0 || shape.size() == 32) fail("has an impossible shape");
      rest_.remove_prefix(size_t(end - rest_.data()));
      shape.push_back(size);
      if (!accept(",") && !rest_.starts_with(")")) fail("has a shape that does not end");
    }
  }
  void read() {
    bool has_descr = false, has_order = false, has_shape = false;
    expect("{");
    while (!accept("}")) {
      const std::string key = quoted();
      expect(":");
      if (key == "descr" && !has_descr) {
        has_descr = true;
        skip_spaces();
        if (rest_.starts_with('[')) fail("describes records, not numbers");
        descr = quoted();
      } else if (key == "fortran_order" && !has_order) {
        has_order = true;
        fortran_order = accept("True");
        if (!fortran_order) expect("False");
      } else if (key == "shape" && !has_shape) {
        has_shape = true;
        read_shape();
      } else {
        fail(fmt::format("has an entry '{}' that is unknown or twice", key));
      }
      if (!accept(",") && !rest_.starts_with("}")) fail("lacks a ','");
    }
    skip_spaces();
    if (!rest_.empty()) fail("goes on behind its end");
    if (!has_descr || !has_order || !has_shape) fail("lacks descr, fortran_order or shape");
  }
  std::string_view rest_;
  const std::string& file_;
};

class NpyVectors final : public VectorFile {
 public:
  using Options = NoOptions;
  NpyVectors(const VectorSource& source, const Options&) : source_(source) {}

  KeyedVectors read() override {
    const std::string& file = source_.from;
    const MappedFile mapped(file);
    const std::string_view bytes = mapped.bytes();
    const size_t data_at = data_place(bytes);
    const HeaderReader header(header_of(bytes), file);
    INTERPLAY_CHECK_DATA(header.descr == "<f4" && !header.fortran_order,
                         "{}: its numbers are '{}' in {} order; expected '<f4' (float32) in C order: {}", file,
                         header.descr, header.fortran_order ? "Fortran" : "C", kSaveAs);
    INTERPLAY_CHECK_DATA(header.shape.size() == 2, "{}: its shape is ({}); expected a matrix, a vector a row", file,
                         fmt::join(header.shape, ", "));
    const int64_t rows = header.shape[0], width = header.shape[1];
    const auto numbers = int64_t((bytes.size() - data_at) / sizeof(float));
    const bool fits =
        width > 0 && rows <= numbers / width && size_t(rows * width) * sizeof(float) == bytes.size() - data_at;
    INTERPLAY_CHECK_DATA(fits,
                         "{}: a matrix of {} x {} needs other than the {} bytes behind its header; the file was cut "
                         "or changed",
                         file, rows, width, bytes.size() - data_at);
    const auto ids = read_vector_ids(source_, rows);
    KeyedVectors out(file);
    std::vector<float> vector(size_t(width), 0);  // the file need not be aligned
    for (int64_t r = 0; r < rows; ++r) {
      std::memcpy(vector.data(), bytes.data() + data_at + size_t(r * width) * sizeof(float),
                  vector.size() * sizeof(float));
      out.add(ids[size_t(r)], vector);
    }
    return out;
  }

 private:
  /// Where the length of the header stands, and how many bytes it has: 2 in version 1, 4 afterwards.
  static size_t length_bytes(std::string_view bytes) { return bytes[kMagic.size()] == 1 ? 2 : 4; }

  size_t data_place(std::string_view bytes) const {
    const std::string& file = source_.from;
    constexpr size_t kStart = kMagic.size() + 2;
    INTERPLAY_CHECK_DATA(bytes.starts_with(kMagic), "{}: is not a .npy file; {}", file, kSaveAs);
    INTERPLAY_CHECK_DATA(bytes.size() >= kStart + 4, "{}: {} bytes are too few for a .npy file; it was cut", file,
                         bytes.size());
    const int major = static_cast<unsigned char>(bytes[kMagic.size()]);
    INTERPLAY_CHECK_DATA(major >= 1 && major <= 3, "{}: is of version {} of the format; expected 1 to 3: {}", file,
                         major, kSaveAs);
    size_t length = 0;
    for (size_t i = length_bytes(bytes); i-- > 0;) length = length << 8 | static_cast<unsigned char>(bytes[kStart + i]);
    const size_t at = kStart + length_bytes(bytes);
    INTERPLAY_CHECK_DATA(length <= bytes.size() - at,
                         "{}: its header claims {} bytes of a file of {}; it was cut or changed", file, length,
                         bytes.size());
    return at + length;
  }
  std::string_view header_of(std::string_view bytes) const {
    const size_t at = kMagic.size() + 2 + length_bytes(bytes);
    return bytes.substr(at, data_place(bytes) - at);
  }

  VectorSource source_;
};

INTERPLAY_REGISTER(vector_files(), "npy", NpyVectors, "NumPy's array of float32, with a text of keys beside it");

}  // namespace
}  // namespace interplay
