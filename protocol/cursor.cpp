#include "protocol/cursor.hpp"

#include <charconv>

namespace kgents {
namespace {

template <class Int>
bool parse_whole(std::string_view text, Int& out) noexcept {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size();
}

template <class Int>
void append_number(std::string& out, Int x) {
  char buffer[24];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, x);
  out.append(buffer, end);
}

}  // namespace

std::optional<cursor> cursor::parse(std::string_view text) noexcept {
  // 36 characters of uuid, ':', up to 20 of epoch, ':', up to 10 of index.
  if (text.size() < 40 || text.size() > 68 || text[36] != ':')
    return std::nullopt;
  const auto turn = turn_id::parse(text.substr(0, 36));
  const auto rest = text.substr(37);
  const auto colon = rest.find(':');
  if (!turn || colon == std::string_view::npos)
    return std::nullopt;
  cursor out{*turn, 0, turn_event};
  const auto index = rest.substr(colon + 1);
  uint32_t number = 0;
  if (!parse_whole(rest.substr(0, colon), out.epoch))
    return std::nullopt;
  if (index == "-")
    return out;
  if (!parse_whole(index, number))
    return std::nullopt;
  out.index = number;
  return out;
}

void cursor::append_to(std::string& out) const {
  turn.value.append_to(out);
  out += ':';
  append_number(out, epoch);
  out += ':';
  if (index == turn_event)
    out += '-';
  else
    append_number(out, index);
}

std::string cursor::text() const {
  std::string out;
  append_to(out);
  return out;
}

}  // namespace kgents
