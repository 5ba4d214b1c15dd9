#include "sql/acting.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

namespace kgents::sql {

namespace json = boost::json;

namespace {

json::object request_of(const acting& who) {
  return {{"request_id", who.request}, {"address", who.address}};
}

}  // namespace

param who_param(const acting& who) {
  json::array scopes;
  for (const auto& [name, has] :
       {std::pair{"read", who.scopes.read}, std::pair{"write", who.scopes.write},
        std::pair{"admin", who.scopes.admin}, std::pair{"billing", who.scopes.billing}})
    if (has)
      scopes.emplace_back(name);
  auto out = request_of(who);
  out["key"] = who.key.text();
  out["scopes"] = std::move(scopes);
  return json::serialize(out);
}

param operator_param(const acting& who) { return json::serialize(request_of(who)); }

act_result act_result_at(const rows& x) {
  const auto text = x.text(0, 0);
  const auto blank = std::min(text.find(' '), text.size());
  return {std::string{text.substr(0, blank)},
          std::string{blank == text.size() ? std::string_view{} : text.substr(blank + 1)}};
}

std::string scopes_literal(const key_scopes& x) {
  std::string out = "{";
  const auto add = [&](bool has, std::string_view name) {
    if (!has)
      return;
    if (out.size() > 1)
      out += ',';
    out += name;
  };
  add(x.read, "read");
  add(x.write, "write");
  add(x.admin, "admin");
  add(x.billing, "billing");
  return out + '}';
}

key_scopes parse_scopes(std::string_view list) {
  key_scopes out;
  while (!list.empty()) {
    const auto scope = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), scope.size() + 1));
    out.read |= scope == "read";
    out.write |= scope == "write";
    out.admin |= scope == "admin";
    out.billing |= scope == "billing";
  }
  return out;
}

}  // namespace kgents::sql
