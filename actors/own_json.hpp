#pragma once

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <string_view>

/// JSON that this server has written itself: results on their way, and what is stored. What clients
/// send may nest 64 levels; inside an answer, or an answer to that, it is deeper, and has to be
/// readable still.
namespace kgents::actors {

inline constexpr std::size_t own_json_depth = 1024;
/// A result, and what a client has sent is in it, may become the `input` of another aspect.
inline constexpr std::size_t kwargs_depth = 128;

[[nodiscard]] inline boost::json::value parse_own(std::string_view text,
                                                  boost::system::error_code& bad) {
  boost::json::parse_options how;
  how.max_depth = own_json_depth;
  return boost::json::parse(text, bad, {}, how);
}

/// Null if it is no JSON, or deeper than that.
[[nodiscard]] inline boost::json::value parse_own(std::string_view text) {
  boost::system::error_code bad;
  auto out = parse_own(text, bad);
  return bad ? boost::json::value{} : out;
}

}  // namespace kgents::actors
