#include "actors/cdc/service.hpp"

#include <algorithm>
#include <array>
#include <boost/json/parse.hpp>

namespace kgents::cdc {

namespace json = boost::json;

namespace {

/// Answers that tell of the service or of our key, not of what was asked.
constexpr std::array<unsigned, 6> away_statuses = {401, 403, 429, 502, 503, 504};

trouble refused(std::string_view name, unsigned status) {
  trouble out;
  out.error.append(name).append(" answered ").append(std::to_string(status));
  out.status = status;
  out.away = std::find(away_statuses.begin(), away_statuses.end(), status) != away_statuses.end();
  return out;
}

}  // namespace

answered understand(std::string_view name, const outbound::http_result& x) {
  if (const auto* why = std::get_if<outbound::http_failure>(&x)) {
    trouble out;
    out.error.append(name).append(": ").append(why->reason);
    // Only what never arrived is not the request's fault: one that makes the service hang or break
    // must come to an end some time.
    out.away = why->reason == "refused" || why->reason == "unresolved" || why->reason == "tls";
    return out;
  }
  const auto& answer = std::get<outbound::http_answer>(x);
  if (answer.status < 200 || answer.status > 299)
    return refused(name, answer.status);
  boost::system::error_code wrong;
  auto value = json::parse(answer.body, wrong);
  if (wrong) {
    trouble out;
    out.error.append(name).append(" answered what is no JSON");
    out.status = answer.status;
    return out;
  }
  return value;
}

service::service(runtime::io_thread& thread, std::string name, std::string_view url,
                 std::string header_lines, std::chrono::milliseconds deadline)
    : thread_{thread},
      name_{std::move(name)},
      // 64 vectors of 1,536 numbers are some 2 MB of JSON.
      client_{url, 16 * 1024 * 1024},
      header_lines_{std::move(header_lines)},
      deadline_{deadline} {}

task<answered> service::call(std::string method, std::string target, std::string body) const {
  arriving<outbound::http_result> answer{[&](arriving<outbound::http_result>::callback done) {
    outbound::http_request ask;
    ask.method = method;
    ask.target = target;
    ask.header_lines = header_lines_;
    ask.body = body;
    ask.deadline = deadline_;
    client_.call(thread_, std::move(ask), std::move(done));
  }};
  const auto got = co_await answer;
  co_return understand(name_, got);
}

}  // namespace kgents::cdc
