#include "runtime/identity/key_source.hpp"

#include <utility>

namespace kgents::runtime::identity {

key_source::key_source(fetch how, watcher tell, std::function<clock::time_point()> now)
    : fetch_{std::move(how)}, tell_{std::move(tell)}, now_{std::move(now)} {}

std::shared_ptr<const key_set> key_source::keys() const {
  std::lock_guard guard{mutex_};
  return keys_;
}

void key_source::tick() {
  {
    std::lock_guard guard{mutex_};
    const auto now = now_();
    if (under_way_ || (next_ && now < *next_))
      return;
    under_way_ = true;
    began_ = now;
  }
  begin();
}

void key_source::renew(std::function<void()> then) {
  bool starts = false;
  {
    std::lock_guard guard{mutex_};
    const auto now = now_();
    starts = !under_way_ && (!began_ || now - *began_ >= fetch_pause);
    if ((under_way_ || starts) && waiting_.size() < most_waiting)
      waiting_.push_back(std::exchange(then, nullptr));
    if (starts) {
      under_way_ = true;
      began_ = now;
    }
  }
  if (starts)
    begin();
  if (then)
    then();
}

void key_source::begin() {
  fetch_([this](std::optional<std::string> jwks) { ended(jwks); });
}

void key_source::ended(const std::optional<std::string>& jwks) {
  auto read = jwks ? key_set::of_provider(*jwks) : std::nullopt;
  const bool good = read.has_value();
  bool some_gone = false;
  size_t count = 0;
  std::vector<std::function<void()>> waiting;
  {
    std::lock_guard guard{mutex_};
    if (good) {
      some_gone = !read->includes(*keys_);
      keys_ = std::make_shared<const key_set>(std::move(*read));
    }
    count = keys_->size();
    under_way_ = false;
    next_ = now_() + (good ? clock::duration{refresh_every} : clock::duration{fetch_pause});
    waiting.swap(waiting_);
  }
  tell_(good, count, some_gone);
  for (const auto& then : waiting)
    then();
}

}  // namespace kgents::runtime::identity
