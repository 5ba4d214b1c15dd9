#include "runtime/idempotency/redis_url.hpp"

#include "runtime/settings_parse.hpp"

namespace kgents::runtime::idempotency {

namespace {

std::optional<int> hex_digit(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
    return (c | 0x20) - 'a' + 10;
  return std::nullopt;
}

std::optional<std::string> unescaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const auto high = i + 2 < text.size() ? hex_digit(text[i + 1]) : std::nullopt;
    const auto low = i + 2 < text.size() ? hex_digit(text[i + 2]) : std::nullopt;
    if (!high || !low)
      return std::nullopt;
    out += static_cast<char>(*high * 16 + *low);
    i += 2;
  }
  return out;
}

bool read_user(std::string_view text, redis_address& out) {
  const auto colon = text.find(':');
  // "secret@host" would be a user without a password: a slip that would look like a refusal later.
  if (colon == text.npos)
    return false;
  auto user = unescaped(text.substr(0, colon));
  auto password = unescaped(text.substr(colon + 1));
  if (!user || !password || (password->empty() && !user->empty()))
    return false;
  out.user = *std::move(user);
  out.password = *std::move(password);
  return true;
}

bool read_host(std::string_view text, redis_address& out) {
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == text.npos)
      return false;
    out.host = text.substr(1, end - 1);
    text.remove_prefix(end + 1);
  } else {
    out.host = text.substr(0, text.find(':'));
    text.remove_prefix(out.host.size());
  }
  if (out.host.empty() || text.empty())
    return !out.host.empty();
  const auto port =
      text.front() == ':' ? parse::number(text.substr(1), 1, 65535) : std::nullopt;
  out.port = static_cast<uint16_t>(port.value_or(0));
  return port.has_value();
}

}  // namespace

std::optional<redis_address> parse_redis_url(std::string_view url) {
  if (!parse::is_url(url, {"redis", "rediss"}))
    return std::nullopt;
  redis_address out;
  out.tls = parse::lower(url.substr(0, url.find(':'))) == "rediss";
  auto rest = url.substr(url.find("://") + 3);
  const auto slash = rest.find('/', rest.rfind('@') == rest.npos ? 0 : rest.rfind('@'));
  if (slash != rest.npos) {
    const auto path = rest.substr(slash + 1);
    const auto database = parse::number(path, 0, 65535);
    if (!path.empty() && !database)
      return std::nullopt;
    out.database = static_cast<uint32_t>(database.value_or(0));
    rest = rest.substr(0, slash);
  }
  if (const auto at = rest.rfind('@'); at != rest.npos) {
    if (!read_user(rest.substr(0, at), out))
      return std::nullopt;
    rest.remove_prefix(at + 1);
  }
  if (!read_host(rest, out))
    return std::nullopt;
  return out;
}

}  // namespace kgents::runtime::idempotency
