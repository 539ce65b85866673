#include <interplay/data/open_raw.h>

#include "data/data_spec.h"
#include "data/open_rows.h"

namespace interplay {

std::shared_ptr<Reader> open_raw(const Schema& schema, const ReadRequest& request) {
  return open_rows(DataSpec::parse(schema.source), request);
}

}  // namespace interplay
