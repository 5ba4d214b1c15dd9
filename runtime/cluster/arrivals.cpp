#include "runtime/cluster/arrivals.hpp"

namespace kgents::runtime::cluster {

shard_set set_of(const std::vector<shard_id>& shards) {
  shard_set out;
  for (const auto x : shards)
    out.set(x.value);
  return out;
}

void arrivals::add(const moving_turn& x) {
  std::lock_guard guard{mutex_};
  turns_[x.session] = x;
}

std::optional<moving_turn> arrivals::take(const entity_id& session) {
  std::lock_guard guard{mutex_};
  const auto at = turns_.find(session);
  if (at == turns_.end())
    return std::nullopt;
  auto out = at->second;
  turns_.erase(at);
  return out;
}

std::vector<moving_turn> arrivals::take(const std::vector<shard_id>& shards) {
  const auto gone = set_of(shards);
  std::vector<moving_turn> out;
  std::lock_guard guard{mutex_};
  for (auto i = turns_.begin(); i != turns_.end();)
    if (contains(gone, i->first)) {
      out.push_back(i->second);
      i = turns_.erase(i);
    } else {
      ++i;
    }
  return out;
}

}  // namespace kgents::runtime::cluster
