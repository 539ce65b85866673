#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/base/api.h>

namespace interplay {

/// JSON for those who read much of it: parsed in place, its values in one stretch of memory that is reused from text to
/// text, numbers as they are written. Not for two threads at once.
///
///     JsonTape tape;
///     for (auto [key, value] : tape.parse(text).members()) ...
class INTERPLAY_API JsonTape {
 public:
  enum class Kind : uint8_t { null, boolean, number, string, array, object };

 private:
  struct Node {
    const char* text;
    uint32_t length;  // bytes of the text
    Kind kind;
    uint32_t end;  // place behind the last value within
  };

 public:
  class Values;
  class Members;

  /// Holds while the tape and the text that was parsed stay as they are.
  class Value {
   public:
    Kind kind() const { return node_->kind; }
    bool is(Kind kind) const { return node_->kind == kind; }
    /// Of a string what it says, of a number or a truth value how it is written, else empty.
    std::string_view text() const { return {node_->text, node_->length}; }
    Values values() const;    ///< of an array; of others none
    Members members() const;  ///< of an object; of others none

   private:
    friend class JsonTape;
    Value(const Node* first, const Node* node) : first_(first), node_(node) {}
    const Node *first_, *node_;
  };

  /// `text` is written over, up to `length`, and may get other memory. Throws Error(data) with what is wrong and at
  /// which byte: what is no JSON, bytes that are not UTF-8, text behind the value, more than 4 GB.
  Value parse(std::string& text, size_t length = std::string::npos);

 private:
  struct Handler;
  std::vector<Node> nodes_;
  std::vector<uint32_t> open_;
};

class JsonTape::Values {
 public:
  struct Iterator {
    const Node *first, *at;
    Value operator*() const { return {first, at}; }
    Iterator& operator++() { return at = first + at->end, *this; }
    bool operator!=(const Iterator& other) const { return at != other.at; }
  };
  Iterator begin() const { return begin_; }
  Iterator end() const { return end_; }

 private:
  friend class Value;
  Iterator begin_, end_;
};

class JsonTape::Members {
 public:
  struct Member {
    std::string_view key;
    Value value;
  };
  struct Iterator {
    const Node *first, *at;  // the key; its value follows
    Member operator*() const { return {{at->text, at->length}, {first, at + 1}}; }
    Iterator& operator++() { return at = first + at[1].end, *this; }
    bool operator!=(const Iterator& other) const { return at != other.at; }
  };
  Iterator begin() const { return begin_; }
  Iterator end() const { return end_; }

 private:
  friend class Value;
  Iterator begin_, end_;
};

inline JsonTape::Values JsonTape::Value::values() const {
  Values out;
  out.end_ = {first_, first_ + node_->end};
  out.begin_ = is(Kind::array) ? Values::Iterator{first_, node_ + 1} : out.end_;
  return out;
}

inline JsonTape::Members JsonTape::Value::members() const {
  Members out;
  out.end_ = {first_, first_ + node_->end};
  out.begin_ = is(Kind::object) ? Members::Iterator{first_, node_ + 1} : out.end_;
  return out;
}

}  // namespace interplay
