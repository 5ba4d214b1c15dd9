#include "runtime/identity/strict_json.hpp"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/parse.hpp>
#include <cmath>
#include <set>
#include <string>
#include <vector>

namespace kgents::runtime::identity {

namespace json = boost::json;

namespace {

/// Looks only at the names of members; refuses the second of a kind. The names and limits of its
/// members are what basic_parser asks for.
struct name_checker {
  static constexpr std::size_t max_object_size = 256;
  static constexpr std::size_t max_array_size = 1024;
  static constexpr std::size_t max_key_size = 256;
  static constexpr std::size_t max_string_size = 256 * 1024;

  std::vector<std::set<std::string, std::less<>>> open;  // the names so far, of each open object
  std::string name;

  using error = boost::system::error_code;
  static bool refuse(error& ec) {
    ec = make_error_code(boost::system::errc::invalid_argument);
    return false;
  }

  bool on_document_begin(error&) { return true; }
  bool on_document_end(error&) { return true; }
  bool on_object_begin(error&) {
    open.emplace_back();
    return true;
  }
  bool on_object_end(std::size_t, error&) {
    open.pop_back();
    return true;
  }
  bool on_key_part(json::string_view part, std::size_t, error&) {
    name.append(part.data(), part.size());
    return true;
  }
  bool on_key(json::string_view part, std::size_t, error& ec) {
    name.append(part.data(), part.size());
    const bool fresh = open.back().insert(std::exchange(name, {})).second;
    return fresh || refuse(ec);
  }
  bool on_double(double x, json::string_view, error& ec) { return std::isfinite(x) || refuse(ec); }
  bool on_array_begin(error&) { return true; }
  bool on_array_end(std::size_t, error&) { return true; }
  bool on_string_part(json::string_view, std::size_t, error&) { return true; }
  bool on_string(json::string_view, std::size_t, error&) { return true; }
  bool on_number_part(json::string_view, error&) { return true; }
  bool on_int64(int64_t, json::string_view, error&) { return true; }
  bool on_uint64(uint64_t, json::string_view, error&) { return true; }
  bool on_bool(bool, error&) { return true; }
  bool on_null(error&) { return true; }
  bool on_comment_part(json::string_view, error&) { return true; }
  bool on_comment(json::string_view, error&) { return true; }
};

}  // namespace

std::optional<json::object> parse_strictly(std::string_view text) {
  json::basic_parser<name_checker> names{json::parse_options{}};
  boost::system::error_code wrong;
  if (names.write_some(false, text.data(), text.size(), wrong) != text.size() || wrong)
    return std::nullopt;
  auto out = json::parse(json::string_view{text.data(), text.size()}, wrong);
  if (wrong || !out.is_object())
    return std::nullopt;
  return std::move(out.get_object());
}

}  // namespace kgents::runtime::identity
