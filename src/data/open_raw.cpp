#include <interplay/data/open_raw.h>

#include "data_spec.h"

namespace interplay {

std::shared_ptr<Reader> open_raw(const Schema& schema, const ReadRequest& request) {
  return readers().make(request, DataSpec::parse(schema.source).reader);
}

}  // namespace interplay
