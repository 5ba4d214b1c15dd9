#include "actors/llm/http_url.hpp"

#include <algorithm>
#include <charconv>

namespace kgents::llm {

namespace {

bool is_plain(char c) noexcept {
  return c > ' ' && c < '\x7f' &&
         std::string_view{"\"<>\\^`{|}@?#"}.find(c) == std::string_view::npos;
}

bool is_port(std::string_view text) noexcept {
  unsigned number = 0;
  const auto [at, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  return ec == std::errc{} && at == text.data() + text.size() && number > 0 && number < 65536;
}

}  // namespace

std::string http_url::authority() const {
  auto out = host.find(':') == std::string::npos ? host : "[" + host + "]";
  if (port != (tls ? "443" : "80"))
    out += ":" + port;
  return out;
}

std::optional<http_url> parse_http_url(std::string_view text) {
  http_url out;
  if (text.starts_with("https://"))
    out.tls = true;
  else if (!text.starts_with("http://"))
    return std::nullopt;
  text.remove_prefix(out.tls ? 8 : 7);
  if (!std::all_of(text.begin(), text.end(), is_plain))
    return std::nullopt;
  const auto slash = std::min(text.find('/'), text.size());
  auto authority = text.substr(0, slash);
  out.path = text.substr(slash);
  while (out.path.ends_with('/'))
    out.path.pop_back();
  out.port = out.tls ? "443" : "80";
  size_t host_end = authority.find(':');
  if (authority.starts_with('[')) {
    host_end = authority.find(']');
    if (host_end == authority.npos)
      return std::nullopt;
    out.host = authority.substr(1, host_end - 1);
    ++host_end;
  } else {
    out.host = authority.substr(0, host_end);
  }
  if (host_end < authority.size()) {
    if (authority[host_end] != ':' || !is_port(authority.substr(host_end + 1)))
      return std::nullopt;
    out.port = authority.substr(host_end + 1);
  }
  if (out.host.empty())
    return std::nullopt;
  return out;
}

}  // namespace kgents::llm
