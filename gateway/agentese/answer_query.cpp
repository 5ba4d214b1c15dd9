#include "gateway/agentese/answer_query.hpp"

#include "gateway/agentese/asking.hpp"
#include "protocol/agentese/query.hpp"
#include "sql/agentese_nodes.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

constexpr field answer_fields[] = {
    {.name = "pattern", .required = true},
    {.name = "matches",
     .type = value_type::array,
     .required = true,
     .meaning = "`{path, node_type, context, affordances}`, sorted by path"},
    {.name = "total_count", .type = value_type::integer, .required = true},
    {.name = "limit", .type = value_type::integer, .required = true},
    {.name = "offset", .type = value_type::integer, .required = true},
    {.name = "has_more", .type = value_type::boolean, .required = true},
    {.name = "cost_estimate", .type = value_type::number, .required = true},
};

/// Of a tenant's own nodes in one context, so many are looked at: all that it may have.
constexpr size_t most_defined = 10'000;

query_request query_of(const call& c) {
  query_request out;
  out.pattern = c.query.at("q").as_string();
  out.limit = c.query.at("limit").as_int64();
  out.offset = c.query.at("offset").as_int64();
  out.dry_run = c.query.at("dry_run").as_bool();
  out.capability_check = c.query.at("capability_check").as_bool();
  return out;
}

/// The contexts of which the tenant's own nodes could match.
std::vector<std::string_view> contexts_of(const query_request& ask) {
  const auto parsed = agentese::parse_query(ask.pattern);
  std::vector<std::string_view> out;
  if (const auto* wanted = std::get_if<0>(&parsed); wanted != nullptr && !ask.dry_run)
    for (const std::string_view name : {"world", "concept"})
      if (agentese::glob_matches(wanted->parts[0], name))
        out.push_back(name);
  return out;
}

/// A capability that the key does not carry counts for nothing (agentese.md 4.1).
void keep_carried(std::vector<std::string>& capabilities, const sql::key_scopes& scopes) {
  std::erase_if(capabilities, [&](const std::string& x) {
    return !((x == "read" && scopes.read) || (x == "write" && scopes.write) ||
             (x == "admin" && scopes.admin));
  });
}

using names = std::vector<std::string>;

void collect(const call_ptr& c, std::vector<std::string_view> contexts, names have,
             std::function<void(names)> done) {
  if (contexts.empty()) {
    done(std::move(have));
    return;
  }
  const auto name = contexts.back();
  contexts.pop_back();
  c->query_database(sql::agentese_nodes::below(c->tenant(), name, most_defined),
                    [c, contexts, have, done](const names& more) {
                      auto all = have;
                      all.insert(all.end(), more.begin(), more.end());
                      collect(c, contexts, std::move(all), done);
                    });
}

}  // namespace

const schema query_answer{"QueryResponse", answer_fields};

void answer_query(const call_ptr& c, agentese::observer who,
                  std::function<void(const agentese::error&)> refuse) {
  if (const auto* tenant = c->query.if_contains("tenant_id");
      tenant != nullptr && uuid::parse(tenant->get_string()) != c->tenant().value) {
    c->refuse(403, "A query sees the tenant of its credential only");
    return;
  }
  auto ask = query_of(*c);
  keep_carried(who.capabilities, c->who->key.scopes);
  auto contexts = contexts_of(ask);
  collect(c, std::move(contexts), {},
          [c, ask, who = std::move(who), refuse = std::move(refuse)](const names& defined) {
            const auto out = run_query(c->at.logos.nodes(), defined, ask, who, caller_of(*c->who));
            if (const auto* wrong = std::get_if<1>(&out))
              refuse(*wrong);
            else
              c->reply_json(200, std::get<0>(out));
          });
}

}  // namespace kgents::gateway
