#pragma once

#include <string>
#include <string_view>

#include "actors/llm/http_url.hpp"
#include "gateway/program/kg/arguments.hpp"

namespace kgents::kg {

/// Which server, and with which key.
struct connection {
  std::string server;  ///< without a slash at its end
  llm::http_url url;
  std::string key;  ///< may be empty
};

/// From the options, the environment and the stored login, in this order. A stored key goes to the
/// server it was stored for and to no other. Throws `stopped` when the URL or the file is bad.
[[nodiscard]] connection find_connection(const arguments& args);

/// The host of that URL is this machine: localhost, 127.0.0.0/8 or ::1.
[[nodiscard]] bool is_local(std::string_view server);

}  // namespace kgents::kg
