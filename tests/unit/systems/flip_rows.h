#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <interplay/base/error.h>
#include <interplay/core/model.h>
#include <interplay/data/schema.h>

#include "support/tiny_bert.h"
#include "support/toy_rows.h"

/// Rows whose ids and whose text name the same codes: made as tensors, without files.
namespace interplay::flip::testing {

/// Fields `code0`, `code1`, ... of so many codes each, and a text that says `field0 is c0x17 ; field1 is c1x3`.
struct CodedRows {
  int64_t fields = 2, codes = 20;

  std::vector<std::string> words() const {
    std::vector<std::string> out{"is", ";"};
    for (int64_t f = 0; f < fields; ++f) {
      out.push_back(fmt::format("field{}", f));
      for (int64_t c = 0; c < codes; ++c) out.push_back(fmt::format("c{}x{}", f, c));
    }
    return out;
  }
  int64_t vocabulary() const { return int64_t(interplay::testing::kBertTokens.size()) + 2 + fields * (1 + codes); }
  int64_t field_word(int64_t f) const { return int64_t(interplay::testing::kBertTokens.size()) + 2 + f * (1 + codes); }
  int64_t code_word(int64_t f, int64_t code) const { return field_word(f) + 1 + code; }
  int64_t text_length() const { return 2 + 4 * fields - 1; }

  Schema schema() const {
    std::vector<Field> out;
    Field said;
    said.name = "said";
    said.kind = FieldKind::text;
    said.rows = vocabulary();
    said.max_length = text_length();
    for (int64_t f = 0; f < fields; ++f) {
      out.push_back(interplay::testing::make_field(fmt::format("code{}", f), FieldKind::categorical, codes + 2));
      said.text_columns.push_back(out.back().name);
    }
    out.push_back(said);
    return Schema(out, {"label"});
  }

  /// codes i64 [B, F], each from 0 on: their ids are one higher.
  Features rows(const at::Tensor& codes_of_rows) const {
    Features x;
    x.rows = codes_of_rows.size(0);
    x.ids = (codes_of_rows + 1).to(at::kInt);
    const int64_t length = text_length();
    auto ids = at::full({x.rows, length}, 2, at::kInt);  // [CLS]
    auto columns = at::full({x.rows, length}, -1, at::kChar);
    for (int64_t f = 0; f < fields; ++f) {
      ids.select(1, 1 + 4 * f).fill_(field_word(f));
      ids.select(1, 2 + 4 * f).fill_(5);  // is
      ids.select(1, 3 + 4 * f).copy_(codes_of_rows.select(1, f) + code_word(f, 0));
      if (f + 1 < fields) ids.select(1, 4 + 4 * f).fill_(6);  // ;
      columns.select(1, 3 + 4 * f).fill_(f);
    }
    ids.select(1, length - 1).fill_(3);  // [SEP]
    x.tokens = {{ids.flatten(), at::arange(x.rows + 1) * length, columns.flatten()}};
    return x;
  }
};

/// A term's value by its name; undefined where the model gives none.
inline at::Tensor value_of(const Output& out, const std::string& name) {
  for (const auto& term : out.terms) {
    if (term.name == name) return term.value;
  }
  return {};
}

inline std::string told(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace interplay::flip::testing
