#pragma once

#include <memory>
#include <string>

#include <interplay/core/model.h>
#include <interplay/core/represents.h>

namespace interplay::flip {

/// The model of the ids: it sees the schema without its texts.
inline std::shared_ptr<Model> make_backbone(const ModelOption& option, const Schema& schema) {
  std::vector<std::string> texts;
  for (const Field* field : schema.of(FieldKind::text)) texts.push_back(field->name);
  return option.make(texts.empty() ? schema : schema.drop(texts));
}

/// Its last hidden vector. Throws Error where it has none.
inline Represents& represented(Model& backbone, const std::string& name) {
  auto* const body = dynamic_cast<Represents*>(&backbone);
  INTERPLAY_CHECK(body,
                  "model.backbone: {} has no last hidden vector that a text could be aligned with; take one that is "
                  "Represents, as deepfm, dcnv2, autoint or din",
                  name);
  return *body;
}

}  // namespace interplay::flip
