#include "gateway/program/kg/connection.hpp"

#include <boost/asio/ip/address.hpp>
#include <cstdlib>

#include "gateway/program/kg/config.hpp"
#include "gateway/program/kg/output.hpp"

namespace kgents::kg {

namespace {

constexpr std::string_view default_server = "http://127.0.0.1:8000";

std::string variable(const char* name) {
  const char* x = std::getenv(name);
  return x == nullptr ? std::string{} : std::string{x};
}

/// The first of them that says something.
template <class... Texts>
std::string first_of(const Texts&... all) {
  std::string out;
  ((out = out.empty() ? std::string{all} : std::move(out)), ...);
  return out;
}

}  // namespace

connection find_connection(const arguments& args) {
  const auto loaded = load_login();
  // A login writes the file anew, whatever is wrong with it.
  if (const auto* wrong = std::get_if<std::string>(&loaded);
      wrong != nullptr && args.what != command::login)
    throw stopped{exit_usage, *wrong};
  stored_login stored;
  if (const auto* x = std::get_if<std::optional<stored_login>>(&loaded); x != nullptr && *x)
    stored = **x;
  connection out;
  out.server = first_of(args.server, variable("KGENTS_URL"), stored.server, default_server);
  while (out.server.ends_with('/'))
    out.server.pop_back();
  const auto url = llm::parse_http_url(out.server);
  if (!url)
    throw stopped{exit_usage,
                  "'" + out.server + "' is not http://host[:port] or https://host[:port]"};
  out.url = *url;
  if (args.what == command::cluster)
    out.key = first_of(args.key, variable("KGENTS_PLATFORM_KEY"));
  else
    out.key = first_of(args.key, variable("KGENTS_API_KEY"),
                       out.server == stored.server ? stored.key : std::string{});
  for (const unsigned char c : out.key)
    if (c <= 0x20 || c >= 0x7f)
      throw stopped{exit_usage, "a key has visible ASCII characters only"};
  return out;
}

bool is_local(std::string_view server) {
  const auto url = llm::parse_http_url(server);
  if (!url)
    return false;
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(url->host, error);
  return url->host == "localhost" || (!error && address.is_loopback());
}

}  // namespace kgents::kg
