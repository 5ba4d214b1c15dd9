#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <variant>

#include "actors/cdc/arriving.hpp"
#include "actors/outbound/http_client.hpp"

namespace kgents::cdc {

/// Why a service did not do what it was asked.
struct trouble {
  std::string error;    ///< for log and database: neither keys nor texts of tenants
  bool away = false;    ///< the service could not be asked: it says nothing about what was asked
  unsigned status = 0;  ///< of its answer, if there was one
};

using answered = std::variant<boost::json::value, trouble>;

/// A JSON service over HTTP, for coroutines of one thread.
class service {
public:
  /// `name` is how errors call it. Throws std::invalid_argument when `url` is no http(s) URL.
  service(runtime::io_thread& thread, std::string name, std::string_view url,
          std::string header_lines, std::chrono::milliseconds deadline);

  /// Anything but a 2xx with JSON is trouble.
  [[nodiscard]] task<answered> call(std::string method, std::string target, std::string body) const;

private:
  runtime::io_thread& thread_;
  std::string name_;
  outbound::http_client client_;
  std::string header_lines_;
  std::chrono::milliseconds deadline_;
};

/// What a result of a call means. Pure.
[[nodiscard]] answered understand(std::string_view name, const outbound::http_result& x);

}  // namespace kgents::cdc
