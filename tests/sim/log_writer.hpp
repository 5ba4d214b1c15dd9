#pragma once

#include <set>
#include <vector>

#include "runtime/session_log.hpp"
#include "tests/sim/database.hpp"

namespace kgents::sim {

class process;

/// Group commit, as runtime/log_writer.cpp does it: one batch under way, a failed one again.
class log_writer {
public:
  explicit log_writer(process& home) : home_{home} {}

  void appended(const runtime::log_ptr& log);

private:
  void flush();

  process& home_;
  std::vector<runtime::log_ptr> dirty_;
  bool busy_ = false;
};

}  // namespace kgents::sim
