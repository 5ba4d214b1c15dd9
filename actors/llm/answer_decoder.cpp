#include "actors/llm/answer_decoder.hpp"

#include <time.h>

#include <algorithm>
#include <array>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parse.hpp>
#include <charconv>

namespace kgents::llm {

namespace {

constexpr uint32_t max_retry_after_seconds = 86'400;

uint32_t retry_after_seconds(std::string_view text, std::chrono::system_clock::time_point now) {
  uint32_t seconds = 0;
  const auto end = text.data() + text.size();
  if (const auto [at, ec] = std::from_chars(text.data(), end, seconds); at == end) {
    if (ec == std::errc{})
      return std::min(seconds, max_retry_after_seconds);
    if (ec == std::errc::result_out_of_range)
      return max_retry_after_seconds;
  }
  tm parts{};
  const std::string copy{text};
  const char* rest = strptime(copy.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  if (rest == nullptr || *rest != '\0')
    return 0;
  const auto wait = std::chrono::system_clock::from_time_t(timegm(&parts)) - now;
  // Rounded up: a client that comes a second early is refused again.
  const auto whole = std::chrono::ceil<std::chrono::seconds>(wait).count();
  return static_cast<uint32_t>(std::clamp<int64_t>(whole, 1, max_retry_after_seconds));
}

error_type type_of_status(unsigned status) noexcept {
  switch (status) {
    case 408:
      return error_type::provider_timeout;
    case 429:
      return error_type::provider_rate_limited;
    case 529:  // Anthropic's own
      return error_type::overloaded;
    default:
      return status >= 500 ? error_type::provider_unavailable : error_type::provider_rejected;
  }
}

bool blames_request(unsigned status) noexcept {
  return status == 400 || status == 413 || status == 422;
}

}  // namespace

bool with_json_object(std::string_view text,
                      const std::function<bool(const boost::json::object&)>& use) {
  std::array<unsigned char, 4096> room;
  boost::json::monotonic_resource memory{room.data(), room.size()};
  boost::json::parse_options options;
  options.allow_invalid_utf8 = true;
  boost::system::error_code ec;
  const auto value = boost::json::parse({text.data(), text.size()}, ec, &memory, options);
  return !ec && value.is_object() && use(value.get_object());
}

const boost::json::object* object_in(const boost::json::object& in, std::string_view key) noexcept {
  const auto* x = in.if_contains({key.data(), key.size()});
  return x != nullptr ? x->if_object() : nullptr;
}

std::string_view string_in(const boost::json::object& in, std::string_view key) noexcept {
  const auto* x = in.if_contains({key.data(), key.size()});
  if (x == nullptr || !x->is_string())
    return {};
  return {x->get_string().data(), x->get_string().size()};
}

std::optional<uint32_t> count_in(const boost::json::object& in, std::string_view key) noexcept {
  const auto* x = in.if_contains({key.data(), key.size()});
  if (x == nullptr)
    return std::nullopt;
  boost::system::error_code ec;
  const auto number = x->to_number<uint32_t>(ec);
  return ec ? std::nullopt : std::optional{number};
}

failure failure_of_status(std::string_view provider, unsigned status, std::string_view retry_after,
                          std::chrono::system_clock::time_point now) {
  failure out{type_of_status(status),
              std::string{provider} + " answered " + std::to_string(status)};
  if (out.type == error_type::provider_rate_limited)
    out.retry_after_seconds = retry_after_seconds(retry_after, now);
  out.fault_of_request = blames_request(status);
  return out;
}

failure failure_of_report(std::string_view provider, std::string_view kind, unsigned status) {
  failure out{error_type::provider_unavailable,
              std::string{provider} + " reported an error in its stream"};
  const auto has = [kind](std::string_view word) { return kind.find(word) != kind.npos; };
  if (has("overloaded"))
    out.type = error_type::overloaded;
  else if (has("rate_limit") || has("insufficient_quota"))
    out.type = error_type::provider_rate_limited;
  else if (has("timeout"))
    out.type = error_type::provider_timeout;
  else if (has("invalid_request") || has("request_too_large"))
    out.type = error_type::provider_rejected, out.fault_of_request = true;
  else if (has("authentication") || has("permission") || has("not_found") || has("invalid_api_key"))
    out.type = error_type::provider_rejected;
  else if (status >= 400 && status < 600)
    out.type = type_of_status(status), out.fault_of_request = blames_request(status);
  return out;
}

}  // namespace kgents::llm
