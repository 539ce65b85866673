// Vectors by key from safetensors: a matrix, and its keys as whole numbers beside it or a key a line in a text.
#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/data/keyed_vectors.h>
#include <interplay/nn/safetensors.h>

namespace interplay {
namespace {

constexpr const char *kKeys = "keys", *kVectors = "vectors";

class SafetensorsVectors final : public VectorFile {
 public:
  using Options = NoOptions;
  SafetensorsVectors(const VectorSource& source, const Options&) : source_(source) {}

  KeyedVectors read() override {
    const nn::Safetensors file(source_.from);
    file.check();
    const auto vectors = matrix(file).to(at::kFloat).contiguous();
    const int64_t rows = vectors.size(0), width = vectors.size(1);
    const auto keys = keys_of(file, rows);
    KeyedVectors out(source_.from);
    for (int64_t r = 0; r < rows; ++r)
      out.add(keys[size_t(r)], {vectors.const_data_ptr<float>() + r * width, size_t(width)});
    return out;
  }

 private:
  static bool is_matrix(const at::Tensor& t) { return t.dim() == 2 && t.is_floating_point(); }

  at::Tensor matrix(const nn::Safetensors& file) const {
    std::string wanted = source_.vector;
    if (wanted.empty() && file.has(kVectors)) wanted = kVectors;
    std::vector<std::string> found, names;
    for (const auto& [name, t] : file.tensors()) {
      names.push_back(name);
      if (wanted.empty() ? is_matrix(t) : name == wanted) found.push_back(name);
    }
    INTERPLAY_CHECK_DATA(found.size() == 1, "{}: {}; name its matrix by `vector` (entries: {})", source_.from,
                         !wanted.empty() ? fmt::format("there is no entry '{}'", wanted)
                         : found.empty() ? "there is no matrix of numbers"
                                         : "there are several matrices",
                         fmt::join(names, ", "));
    const at::Tensor& t = file.at(found[0]);
    INTERPLAY_CHECK_DATA(is_matrix(t), "{}: entry '{}' is of type {} and shape [{}]; expected floats, a vector a row",
                         source_.from, found[0], toString(t.scalar_type()), fmt::join(t.sizes(), ", "));
    return t;
  }

  std::vector<std::string> keys_of(const nn::Safetensors& file, int64_t rows) const {
    if (source_.key.empty() && !file.has(kKeys)) return read_vector_ids(source_, rows);
    const std::string name = source_.key.empty() ? kKeys : source_.key;
    const at::Tensor& t = file.at(name);
    INTERPLAY_CHECK_DATA(t.dim() == 1 && t.size(0) == rows && !t.is_floating_point() && t.scalar_type() != at::kBool,
                         "{}: entry '{}' is of type {} and shape [{}]; expected whole numbers, one for each of {} rows",
                         source_.from, name, toString(t.scalar_type()), fmt::join(t.sizes(), ", "), rows);
    const auto whole = t.to(at::kLong).contiguous();
    std::vector<std::string> keys;
    for (int64_t r = 0; r < rows; ++r) keys.push_back(std::to_string(whole.const_data_ptr<int64_t>()[r]));
    return keys;
  }

  VectorSource source_;
};

INTERPLAY_REGISTER(vector_files(), "safetensors", SafetensorsVectors,
                   "safetensors: a matrix, its keys an entry of whole numbers or a text beside it");

}  // namespace
}  // namespace interplay
