#include "runtime/agentese/event_hub.hpp"

#include <algorithm>
#include <utility>

#include "runtime/agentese/event_reader.hpp"

namespace kgents::runtime::agentese {

uint64_t event_hub::add(event_reader& reader) {
  const auto number = ++next_;
  numbers_.emplace(number, &reader);
  auto& x = audiences_[reader.tenant()];
  x.readers.push_back(&reader);
  if (x.begun) {
    reader.begun(x.last_seq);
  } else if (x.stay == 0) {
    x.stay = number;  // any number that is new
    feed_.want(reader.tenant(), x.stay);
  }
  return number;
}

void event_hub::remove(event_reader& reader) {
  std::replace(round_.begin(), round_.end(), &reader, static_cast<event_reader*>(nullptr));
  numbers_.erase(reader.number());
  const auto at = audiences_.find(reader.tenant());
  if (at == audiences_.end())
    return;
  auto& all = at->second.readers;
  if (const auto i = std::find(all.begin(), all.end(), &reader); i != all.end()) {
    *i = all.back();
    all.pop_back();
  }
  if (all.empty()) {
    const auto stay = at->second.stay;
    audiences_.erase(at);
    feed_.leave(reader.tenant(), stay);
  }
}

int64_t event_hub::last_seq(tenant_id tenant) const {
  const auto at = audiences_.find(tenant);
  return at == audiences_.end() ? 0 : at->second.last_seq;
}

event_reader* event_hub::find(tenant_id tenant, uint64_t number) const {
  const auto at = numbers_.find(number);
  return at == numbers_.end() || at->second->tenant() != tenant ? nullptr : at->second;
}

std::vector<event_reader*> event_hub::readers_of(tenant_id tenant) const {
  const auto at = audiences_.find(tenant);
  return at == audiences_.end() ? std::vector<event_reader*>{} : at->second.readers;
}

event_hub::audience* event_hub::expected(tenant_id tenant, uint64_t stay) {
  const auto at = audiences_.find(tenant);
  return at == audiences_.end() || at->second.stay != stay ? nullptr : &at->second;
}

template <class F>
void event_hub::each(const std::vector<event_reader*>& readers, F f) {
  round_ = readers;  // a copy: readers come and go while they are told
  for (size_t i = 0; i < round_.size(); ++i)
    if (round_[i] != nullptr)
      f(*round_[i]);
  round_.clear();
}

void event_hub::begun(tenant_id tenant, uint64_t stay, int64_t seq) {
  auto* x = expected(tenant, stay);
  if (x == nullptr)
    return;
  x->begun = true;
  x->last_seq = seq;
  each(x->readers, [seq](event_reader& reader) { reader.begun(seq); });
}

void event_hub::failed(tenant_id tenant, uint64_t stay) {
  auto* x = expected(tenant, stay);
  if (x == nullptr)
    return;
  const auto readers = std::move(x->readers);
  audiences_.erase(tenant);
  for (auto* reader : readers)
    numbers_.erase(reader->number());
  each(readers, [](event_reader& reader) { reader.failed(); });
}

void event_hub::deliver(tenant_id tenant, uint64_t stay, const event_batch& events) {
  auto* x = expected(tenant, stay);
  if (x == nullptr || !x->begun)
    return;
  x->last_seq = std::max(x->last_seq, events->back()->seq);
  each(x->readers, [&](event_reader& reader) { reader.live_events(*events); });
}

void event_hub::wake_all() {
  std::vector<event_reader*> all;
  all.reserve(numbers_.size());
  for (const auto& [number, reader] : numbers_)
    all.push_back(reader);
  each(all, [](event_reader& reader) { reader.on_ready(); });
}

}  // namespace kgents::runtime::agentese
