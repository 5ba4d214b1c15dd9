#include "runtime/hub.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

namespace kgents::runtime {

void hub::subscribe(const log_ptr& log, log_reader& reader) {
  readers_[log.get()].push_back(&reader);
  log->hubs.fetch_or(uint64_t{1} << thread_.index(), std::memory_order_seq_cst);
}

void hub::unsubscribe(const log_ptr& log, log_reader& reader) {
  // A reader that goes while a round is under way must not be called any more.
  std::replace(round_.begin(), round_.end(), &reader, static_cast<log_reader*>(nullptr));
  const auto at = readers_.find(log.get());
  if (at == readers_.end())
    return;
  auto& all = at->second;
  if (const auto i = std::find(all.begin(), all.end(), &reader); i != all.end()) {
    *i = all.back();
    all.pop_back();
  }
  if (all.empty()) {
    readers_.erase(at);
    log->hubs.fetch_and(~(uint64_t{1} << thread_.index()), std::memory_order_seq_cst);
  }
}

void hub::schedule(std::unique_lock<std::mutex> guard) {
  const bool post = !std::exchange(scheduled_, true);
  guard.unlock();
  if (post)
    boost::asio::post(thread_.context(), [this] { deliver(); });
}

void hub::notify(const log_ptr& log) {
  std::unique_lock guard{mutex_};
  inbox_.push_back(log);
  schedule(std::move(guard));
}

void hub::notify(const std::vector<log_ptr>& logs) {
  std::unique_lock guard{mutex_};
  inbox_.insert(inbox_.end(), logs.begin(), logs.end());
  schedule(std::move(guard));
}

void hub::deliver() {
  std::vector<log_ptr> logs;
  {
    std::lock_guard guard{mutex_};
    logs.swap(inbox_);
    scheduled_ = false;
  }
  // A log that advanced several times since the last round is looked at once.
  std::sort(logs.begin(), logs.end());
  logs.erase(std::unique(logs.begin(), logs.end()), logs.end());
  for (const auto& log : logs) {
    const auto at = readers_.find(log.get());
    if (at == readers_.end())
      continue;
    round_ = at->second;  // a copy: readers come and go while they are told
    for (size_t i = 0; i < round_.size(); ++i)
      if (round_[i] != nullptr)
        round_[i]->advanced();
    round_.clear();
  }
}

void hub::wake_all() {
  boost::asio::post(thread_.context(), [this] {
    for (auto& [log, readers] : readers_)
      round_.insert(round_.end(), readers.begin(), readers.end());
    for (size_t i = 0; i < round_.size(); ++i)
      if (round_[i] != nullptr)
        round_[i]->advanced();
    round_.clear();
  });
}

void hubs::wake_all() {
  for (auto& x : hubs_)
    x->wake_all();
}

hubs::hubs(const std::vector<io_thread*>& threads) {
  for (auto* x : threads)
    hubs_.push_back(std::make_unique<hub>(*x));
}

void hubs::notify(const log_ptr& log) {
  const auto mask = log->hubs.load(std::memory_order_seq_cst);
  for (size_t i = 0; i < hubs_.size(); ++i)
    if (mask >> i & 1)
      hubs_[i]->notify(log);
}

void hubs::notify(const std::vector<log_ptr>& logs) {
  std::vector<log_ptr> part;
  for (size_t i = 0; i < hubs_.size(); ++i) {
    part.clear();
    for (const auto& log : logs)
      if (log->hubs.load(std::memory_order_seq_cst) >> i & 1)
        part.push_back(log);
    if (!part.empty())
      hubs_[i]->notify(part);
  }
}

}  // namespace kgents::runtime
