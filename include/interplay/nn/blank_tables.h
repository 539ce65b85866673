#pragma once

#include <interplay/base/api.h>

namespace interplay::nn {

/// While in scope, embedding tables that this thread makes hold zeros: for whoever loads their weights next. What else
/// is drawn at random is drawn as ever.
class INTERPLAY_API BlankTables {
 public:
  BlankTables();
  ~BlankTables();
  BlankTables(const BlankTables&) = delete;
  BlankTables& operator=(const BlankTables&) = delete;
  static bool active();

 private:
  bool before_;
};

}  // namespace interplay::nn
