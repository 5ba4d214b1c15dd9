#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "sql/query.hpp"
#include "sql/usage.hpp"

namespace kgents::sql {

/// Equal requests of a moment: one row of usage.
struct request_count {
  usage_id id;
  tenant_id tenant;
  api_key_id key;
  std::string_view method;    ///< of a route's table: lives as long as the program
  std::string_view endpoint;  ///< the route's template, likewise
  uint16_t status = 0;
  uint32_t quantity = 0;
  std::chrono::system_clock::time_point first{}, last{};  ///< of one day (UTC)
};

/// The insert of counted requests of many tenants in one statement (migration 29), for kg_control.
/// A row that is there already is not counted again.
class request_batch {
public:
  void add(const request_count& x);
  [[nodiscard]] query<nothing> take();

private:
  std::string arrays_[9];  // in the order of the function's parameters
};

}  // namespace kgents::sql
