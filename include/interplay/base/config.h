#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <interplay/base/api.h>
#include <interplay/base/error.h>

namespace interplay {

/// A YAML tree that remembers where each value was written, so that every complaint can name file, line and key.
///
/// A Config is a cheap value: copies share the tree, and a change made with set() is not seen by earlier copies.
/// Looking up a key that is absent gives an undefined Config that still knows its path; reading it throws.
/// Numbers are decimal (010 is ten), `1e6` is also an integer, `1e-3` and `1.e-3` are both numbers, and a key that
/// is written twice is an error, and so are a key that is empty or no text and a second document.
///
///     const auto config = Config::load("configs/criteo/deepfm.yaml");
///     const auto width = config["model"]["embedding_dim"].as<int64_t>();
class INTERPLAY_API Config {
 public:
  enum class Kind { undefined, null, scalar, sequence, map };

  Config();  ///< an empty map
  static Config load(const std::filesystem::path& file);
  static Config parse(std::string_view yaml, std::string source = "<text>");
  static Config scalar(std::string text, bool quoted = false);  ///< `quoted`: text that must stay a string
  static Config sequence(std::vector<Config> items);

  Kind kind() const noexcept;
  bool defined() const noexcept { return kind() != Kind::undefined; }
  bool is_null() const noexcept { return kind() == Kind::null || kind() == Kind::undefined; }
  bool is_scalar() const noexcept { return kind() == Kind::scalar; }
  bool is_sequence() const noexcept { return kind() == Kind::sequence; }
  bool is_map() const noexcept { return kind() == Kind::map; }

  Config operator[](std::string_view key) const;  ///< throws on a scalar or sequence; undefined if the key is absent
  Config at(size_t index) const;                  ///< item of a sequence
  bool has(std::string_view key) const;           ///< a map with this key, whatever its value
  size_t size() const noexcept;                   ///< entries of a map, items of a sequence, else 0
  std::vector<std::string> keys() const;          ///< of a map, in the order written
  std::vector<Config> items() const;              ///< of a sequence; a scalar counts as a sequence of one

  /// T: bool, int64_t, double, std::string. Throws Error naming place, value found and type expected.
  template <class T>
  T as() const;
  template <class T>
  T get(std::string_view key, T otherwise) const {
    const Config child = (*this)[key];
    return child.is_null() ? otherwise : child.as<T>();
  }

  void set(std::string_view dotted_path, Config value);  ///< makes the maps on the way; a number indexes a sequence
  void set(std::string_view assignment);                 ///< `a.b=v`, v read as YAML: what `--set` takes
  void set_key(std::string_view key, Config value);      ///< of this map; a dot in the key is part of its name
  void erase(std::string_view key);

  std::string path() const;                    ///< `model.hidden`; empty at the root
  std::string where() const;                   ///< `configs/x.yaml:12: model.hidden`
  std::string source() const;                  ///< the file it was read from; "" where it was not
  int line() const noexcept;                   ///< 1-based; 0 where a value did not come from a file
  std::string yaml() const;                    ///< block style, keys in the order written; parses back equal
  bool operator==(const Config& other) const;  ///< same values; places do not count
  [[noreturn]] void fail(std::string_view message) const;  ///< throws Error("<where>: <message>")

 private:
  struct Node;
  struct Reader;
  struct Printer;
  explicit Config(std::shared_ptr<const Node> node);
  static std::shared_ptr<const Node> with(const std::shared_ptr<const Node>& node, std::string_view path,
                                          const std::shared_ptr<const Node>& value, const std::string& walked);
  std::shared_ptr<const Node> node_;
};

/// The candidate closest to `word` by edit distance, or "" where none is close enough to be a slip of the pen.
INTERPLAY_API std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace interplay
