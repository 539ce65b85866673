#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <interplay/data/event_log.h>

#include "systems/autograph/graph_options.h"

namespace interplay::autograph {

/// Texts of users or items, from training rows alone.
///
///     const auto log = EventLog::read(data, NodeTexts::columns(options), history);
///     const NodeTexts texts(log, options, place);
class INTERPLAY_API NodeTexts {
 public:
  /// `at`: the options in their file, for messages.
  NodeTexts(const EventLog& log, const NodeOptions& options, const Config& at);

  /// Columns of the log that the options need.
  static std::vector<std::string> columns(const NodeOptions& options, const Config& at);

  const std::vector<std::string>& keys() const { return keys_; }      ///< values of the field, in order of appearance
  const std::vector<std::string>& texts() const { return texts_; }    ///< beside keys; empty without a template
  const std::vector<std::string>& titles() const { return titles_; }  ///< beside keys

 private:
  std::vector<std::string> keys_, texts_, titles_;
};

}  // namespace interplay::autograph
