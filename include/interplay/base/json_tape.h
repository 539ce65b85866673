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
  struct ValueIterator;
  struct MemberIterator;
  template <class Iterator>
  struct Range {
    Iterator first, last;
    Iterator begin() const { return first; }
    Iterator end() const { return last; }
  };
  using Values = Range<ValueIterator>;
  using Members = Range<MemberIterator>;

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

struct JsonTape::ValueIterator {
  const Node *first, *at;
  Value operator*() const { return {first, at}; }
  ValueIterator& operator++() { return at = first + at->end, *this; }
  bool operator!=(const ValueIterator& other) const { return at != other.at; }
};

struct JsonTape::MemberIterator {
  struct Member {
    std::string_view key;
    Value value;
  };
  const Node *first, *at;  // the key; its value follows
  Member operator*() const { return {{at->text, at->length}, {first, at + 1}}; }
  MemberIterator& operator++() { return at = first + at[1].end, *this; }
  bool operator!=(const MemberIterator& other) const { return at != other.at; }
};

inline JsonTape::Values JsonTape::Value::values() const {
  const Node* const end = first_ + node_->end;
  return {{first_, is(Kind::array) ? node_ + 1 : end}, {first_, end}};
}

inline JsonTape::Members JsonTape::Value::members() const {
  const Node* const end = first_ + node_->end;
  return {{first_, is(Kind::object) ? node_ + 1 : end}, {first_, end}};
}

}  // namespace interplay
