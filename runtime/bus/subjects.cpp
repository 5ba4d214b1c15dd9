#include "runtime/bus/subjects.hpp"

#include <algorithm>

namespace kgents::runtime::bus {

namespace {

constexpr size_t longest = 255;

bool plain(char c) noexcept {
  return static_cast<unsigned char>(c) > ' ' && c != 0x7f && c != '*' && c != '>';
}

}  // namespace

bool is_token(std::string_view text) noexcept {
  return !text.empty() && text.size() <= longest &&
         std::all_of(text.begin(), text.end(), [](char c) { return plain(c) && c != '.'; });
}

bool is_subject(std::string_view text) noexcept {
  if (text.size() > longest)
    return false;
  for (;;) {
    const auto dot = text.find('.');
    if (!is_token(text.substr(0, dot)))
      return false;
    if (dot == text.npos)
      return true;
    text.remove_prefix(dot + 1);
  }
}

std::optional<std::string> session_subject(std::string_view session, std::string_view type) {
  if (!is_token(session) || !is_token(type))
    return std::nullopt;
  std::string out = "kgent.session.";
  out += session;
  out += '.';
  out += type;
  return out;
}

std::optional<std::string> agentese_subject(std::string_view node, std::string_view aspect) {
  std::string out = "agentese.";
  out += node;
  out += '.';
  out += aspect;
  if (!is_subject(out))
    return std::nullopt;
  return out;
}

}  // namespace kgents::runtime::bus
