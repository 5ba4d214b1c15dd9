#include "actors/contexts/self/crystal.hpp"

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>

#include "actors/persona/text.hpp"

namespace kgents::actors::self_memory {

namespace json = boost::json;

namespace {

constexpr size_t beginning_bytes = 160;

const json::array* turns_of(const json::value& window) {
  if (const auto* list = window.if_array())
    return list;
  if (const auto* x = window.if_object())
    for (const auto* name : {"turns", "messages"})
      if (const auto* member = x->if_contains(name); member != nullptr && member->is_array())
        return &member->get_array();
  return nullptr;
}

bool is_true(const json::object& x, std::string_view name) {
  const auto* member = x.if_contains(name);
  return member != nullptr && member->is_bool() && member->get_bool();
}

bool is_text(const json::object& x, std::string_view name, std::string_view text) {
  const auto* member = x.if_contains(name);
  return member != nullptr && member->is_string() && member->get_string() == text;
}

bool asks_to_stay(const json::value& turn) {
  const auto* x = turn.if_object();
  return x != nullptr &&
         (is_true(*x, "preserve") || is_true(*x, "pinned") || is_text(*x, "role", "system") ||
          is_text(*x, "resource_class", "preserved"));
}

std::string said_in(const json::value& turn) {
  if (turn.is_string())
    return std::string{turn.get_string()};
  if (const auto* x = turn.if_object())
    if (const auto* content = x->if_contains("content"); content != nullptr && content->is_string())
      return std::string{content->get_string()};
  return json::serialize(turn);
}

/// Its first sentence, or as much of it as is shown.
std::string beginning_of(const json::value& turn) {
  auto text = said_in(turn);
  const auto end = text.find_first_of(".!?\n");
  if (end != std::string::npos)
    text.resize(end + (text[end] == '\n' ? 0 : 1));
  return persona::quotable(text, beginning_bytes);
}

}  // namespace

crystallized crystallize(const json::value& window) {
  crystallized out;
  const json::array single{window};
  const auto* turns = turns_of(window);
  if (turns == nullptr)
    turns = &single;
  const auto n = turns->size();
  std::vector<bool> kept(n, false);
  size_t bytes = 0;
  // First what asks for it, then the newest; from the newest on, so that the oldest is what drops.
  for (const bool asking : {true, false})
    for (size_t i = n; i-- > 0;) {
      const bool wanted = asking ? asks_to_stay((*turns)[i]) : i + newest_turns >= n;
      const auto size = json::serialize((*turns)[i]).size();
      if (kept[i] || !wanted || bytes + size > most_window_bytes)
        continue;
      kept[i] = true;
      bytes += size;
    }
  for (size_t i = 0; i < n; ++i) {
    if (kept[i]) {
      out.preserved.push_back((*turns)[i]);
      continue;
    }
    ++out.dropped;
    const auto line = beginning_of((*turns)[i]);
    if (!line.empty() && out.summary.size() + line.size() < most_summary_bytes)
      out.summary.append(out.summary.empty() ? "" : " ").append(line);
  }
  return out;
}

restored restore(const json::array& preserved, uint64_t max_tokens) {
  restored out;
  std::vector<bool> kept(preserved.size(), false);
  for (const bool asking : {true, false})
    for (size_t i = preserved.size(); i-- > 0;) {
      if (kept[i] || asks_to_stay(preserved[i]) != asking)
        continue;
      const auto cost = estimated_tokens(said_in(preserved[i]));
      if (out.tokens + cost > max_tokens) {
        out.truncated = true;
        if (!asking)
          break;  // a hole between newer and older turns would read as if nothing were missing
        continue;
      }
      kept[i] = true;
      out.tokens += cost;
    }
  for (size_t i = 0; i < preserved.size(); ++i)
    if (kept[i])
      out.window.push_back(preserved[i]);
  return out;
}

uint64_t estimated_tokens(std::string_view text) noexcept { return (text.size() + 3) / 4; }

bool is_memory_key(std::string_view key) noexcept {
  if (key.empty() || key.size() > most_key_bytes || key.front() == '/' ||
      key.find("..") != std::string_view::npos)
    return false;
  return std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '/' || c == '-';
  });
}

std::string key_for(const json::value& data) {
  if (const auto* x = data.if_object())
    for (const auto* name : {"key", "concept", "entity", "name", "handle", "path", "id"})
      if (const auto* member = x->if_contains(name); member != nullptr && member->is_string()) {
        std::string_view text = member->get_string();
        if (const auto dot = text.rfind('.'); dot != std::string_view::npos)
          text.remove_prefix(dot + 1);  // of a path, what it names
        if (is_memory_key(text))
          return std::string{text};
      }
  // FNV-1a: the same content always has the same key, on every node.
  uint64_t hash = 14'695'981'039'346'656'037ull;
  for (const char c : json::serialize(data))
    hash = (hash ^ static_cast<unsigned char>(c)) * 1'099'511'628'211ull;
  char name[32];
  std::snprintf(name, sizeof name, "engram_%016llx", static_cast<unsigned long long>(hash));
  return name;
}

}  // namespace kgents::actors::self_memory
