// kg sessions: what there is, and what was said.

#include "gateway/program/kg/program.hpp"

namespace kgents::kg {

namespace json = boost::json;

namespace {

constexpr uint32_t page = 200;

const json::array& list_of(const json::object& x, std::string_view name) {
  static const json::array none;
  const auto* all = x.if_contains(name);
  return all != nullptr && all->is_array() ? all->get_array() : none;
}

int messages(const program& p) {
  size_t shown = 0;
  for (;;) {
    const auto out = ask_object(p, {.target = "/v1/kgent/sessions/" + escaped(p.args.subject) +
                                              "/messages?limit=" + std::to_string(page) +
                                              "&offset=" + std::to_string(shown)});
    const auto& all = list_of(out, "messages");
    for (const auto& one : all) {
      const auto& x = one.as_object();
      if (p.out.json())
        p.out.object(x);
      else
        p.out.text(text_member(x, "role") + ": " + text_member(x, "content") + "\n\n");
      if (++shown == p.args.limit)
        return exit_good;
    }
    if (all.size() < page)
      return exit_good;
  }
}

}  // namespace

int sessions(const program& p) {
  if (!p.args.subject.empty())
    return messages(p);
  const auto limit = p.args.limit == 0 ? 20 : p.args.limit;
  const auto out = ask_object(p, {.target = "/v1/kgent/sessions?limit=" + std::to_string(limit)});
  std::vector<std::vector<std::string>> rows;
  for (const auto& one : list_of(out, "sessions")) {
    const auto& x = one.as_object();
    if (p.out.json())
      p.out.object(x);
    else
      rows.push_back({text_member(x, "id"), text_member(x, "created_at").substr(0, 16),
                      shown_member(x, "message_count"), text_member(x, "status"),
                      text_member(x, "title")});
  }
  if (!p.out.json())
    p.out.table({"ID", "CREATED", "MESSAGES", "STATUS", "TITLE"}, rows);
  return exit_good;
}

}  // namespace kgents::kg
