#include "sql/cluster.hpp"

#include <algorithm>
#include <array>

#include "sql/columns.hpp"

namespace kgents::sql::cluster {

namespace {

constexpr std::array states = {member_state::joining, member_state::up, member_state::leaving,
                               member_state::dead};

member_state state_at(const rows& x, int row, int column) {
  const auto text = x.text(row, column);
  const auto* found = std::find_if(states.begin(), states.end(),
                                   [text](auto state) { return to_string(state) == text; });
  return found == states.end() ? member_state::dead : *found;
}

/// The numbers of a list with commas between.
template <class Consume>
void each_number(std::string_view list, Consume&& consume) {
  const auto* at = list.data();
  const auto* end = at + list.size();
  while (at < end) {
    uint64_t x = 0;
    at = std::from_chars(at, end, x).ptr;
    consume(x);
    if (at < end)
      ++at;  // the comma
  }
}

std::string array_of(std::span<const shard_id> shards) {
  std::string literal = "{";
  for (const auto shard : shards) {
    if (literal.size() > 1)
      literal.push_back(',');
    literal.append(std::to_string(shard.value));
  }
  literal.push_back('}');
  return literal;
}

/// An array literal of quoted elements (PostgreSQL 8.15.6).
std::string array_of(const std::vector<std::string>& texts) {
  std::string literal = "{";
  for (const auto& text : texts) {
    if (literal.size() > 1)
      literal.push_back(',');
    literal.push_back('"');
    for (const char c : text) {
      if (c == '"' || c == '\\')
        literal.push_back('\\');
      literal.push_back(c);
    }
    literal.push_back('"');
  }
  literal.push_back('}');
  return literal;
}

// Lists with commas instead of array literals: nothing in them needs quotes, since a role is a word
// of ours, and a reader of arrays is spared.
#define KGENTS_SQL_SEEN                                                                    \
  "self_state, version, array_to_string(owners, ',', '0'), array_to_string(epochs, ','), " \
  "node, name, host, port, array_to_string(roles, ','), state, beat, "                     \
  "array_to_string(suspects, ','), drain_requested"

std::vector<std::string> words(std::string_view list) {
  std::vector<std::string> result;
  while (!list.empty()) {
    const auto end = std::min(list.find(','), list.size());
    result.emplace_back(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return result;
}

cluster_member member_at(const rows& x, int row) {
  cluster_member result{.id = node_id{count_at<uint64_t>(x, row, 4)},
                        .name = string_at(x, row, 5),
                        .host = string_at(x, row, 6),
                        .port = count_at<uint16_t>(x, row, 7),
                        .roles = words(x.text(row, 8)),
                        .state = state_at(x, row, 9),
                        .beat = count_at<uint64_t>(x, row, 10),
                        .suspects = {},
                        .drain_requested = x.boolean(row, 12)};
  each_number(x.text(row, 11), [&](uint64_t id) { result.suspects.push_back(node_id{id}); });
  return result;
}

seen parse_seen(std::vector<rows>& all) {
  const auto& x = all[0];
  seen result;
  result.self = state_at(x, 0, 0);
  result.view.version = count_at<uint64_t>(x, 0, 1);
  result.leases_included = !x.is_null(0, 2);
  auto& leases = result.view.leases;
  size_t at = 0;
  each_number(x.text(0, 2), [&](uint64_t owner) {
    if (at < leases.size())
      leases[at++].owner = node_id{owner};
  });
  at = 0;
  each_number(x.text(0, 3), [&](uint64_t epoch) {
    if (at < leases.size())
      leases[at++].epoch = epoch;
  });
  for (int row = 0; row < x.size() && !x.is_null(row, 4); ++row)
    result.view.members.push_back(member_at(x, row));
  return result;
}

bool parse_bool(std::vector<rows>& all) { return all[0].boolean(0, 0); }

nothing parse_nothing(std::vector<rows>&) { return {}; }

epochs parse_epochs(std::vector<rows>& all) {
  epochs result;
  result.reserve(static_cast<size_t>(all[0].size()));
  for (int row = 0; row < all[0].size(); ++row)
    result.emplace_back(shard_id{count_at<uint16_t>(all[0], row, 0)},
                        count_at<lease_epoch>(all[0], row, 1));
  return result;
}

}  // namespace

query<node_id> join(const candidate& who) {
  return {{.statements = {{"SELECT kg.cluster_join($1, $2, $3, $4, $5)",
                           {who.name, who.host, value(who.port), array_of(who.roles),
                            value(who.protocol)}}}},
          [](std::vector<rows>& all) { return node_id{count_at<uint64_t>(all[0], 0, 0)}; }};
}

query<seen> beat(node_id self, member_state state, uint64_t known) {
  return {{.statements = {{"SELECT " KGENTS_SQL_SEEN " FROM kg.cluster_beat($1, $2, $3)",
                           {value(self.value), std::string{to_string(state)}, value(known)}}}},
          parse_seen};
}

query<seen> view(node_id self, uint64_t known) {
  return {{.statements = {{"SELECT " KGENTS_SQL_SEEN " FROM kg.cluster_view($1, $2)",
                           {value(self.value), value(known)}}},
           .read_only = true},
          parse_seen};
}

query<bool> suspect(node_id self, node_id target) {
  return {{.statements = {{"SELECT kg.cluster_suspect($1, $2)",
                           {value(self.value), value(target.value)}}}},
          parse_bool};
}

query<nothing> trust(node_id self, node_id target) {
  return {{.statements = {{"SELECT kg.cluster_trust($1, $2)",
                           {value(self.value), value(target.value)}}}},
          parse_nothing};
}

query<bool> declare_dead(node_id self, node_id target, uint64_t beat) {
  return {{.statements = {{"SELECT kg.cluster_declare_dead($1, $2, $3)",
                           {value(self.value), value(target.value), value(beat)}}}},
          parse_bool};
}

query<epochs> take(node_id self, std::span<const shard_id> shards) {
  return {{.statements = {{"SELECT shard, epoch FROM kg.take_leases($1, $2)",
                           {value(self.value), array_of(shards)}}}},
          parse_epochs};
}

query<epochs> give(node_id self, node_id to, std::span<const shard_id> shards) {
  return {{.statements = {{"SELECT shard, epoch FROM kg.give_leases($1, $2, $3)",
                           {value(self.value), value(to.value), array_of(shards)}}}},
          parse_epochs};
}

query<nothing> leave(node_id self) {
  return {{.statements = {{"SELECT kg.cluster_leave($1)", {value(self.value)}}}}, parse_nothing};
}

query<bool> request_drain(const std::string& name) {
  return {{.statements = {{"SELECT kg.cluster_request_drain($1)", {name}}}}, parse_bool};
}

}  // namespace kgents::sql::cluster
