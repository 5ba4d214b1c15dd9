#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "tests/sim/session.hpp"

namespace kgents::sim {

/// The place of one reader in a session's stream: runtime/session_reader.cpp, step by step.
class reader : public std::enable_shared_from_this<reader> {
public:
  reader(process& home, size_t which, std::optional<cursor> from, bool only_here)
      : home_{home}, which_{which}, only_here_{only_here}, last_{from} {}
  ~reader() { stop(); }

  std::function<void()> on_ready = [] {};

  void start(std::function<void(int status)> placed);
  void stop();
  void pull(std::vector<event_ptr>& out, size_t max);
  void advanced();
  [[nodiscard]] std::optional<cursor> anchor() const { return anchor_; }

private:
  void find_place();
  void placed(attached here);
  void retry();
  [[nodiscard]] bool seen(const stream_event& x) const;
  [[nodiscard]] bool hole_before(const stream_event& x) const;

  process& home_;
  const size_t which_;
  const bool only_here_;
  std::function<void(int)> on_placed_;
  runtime::log_ptr log_;
  uint64_t position_ = 0;
  std::optional<cursor> last_;
  std::optional<cursor> anchor_;
  std::deque<event_ptr> backlog_;
  std::vector<event_ptr> scratch_;
  uint64_t asked_ = 0;
  bool live_ = false, asking_ = false, ended_ = false, in_turn_ = false, retrying_ = false;
};

/// Who is woken when a log shows more: runtime/hub.hpp.
class readers {
public:
  explicit readers(process& home) : home_{home} {}

  void subscribe(const runtime::log_ptr& log, const std::shared_ptr<reader>& x);
  void unsubscribe(const runtime::log_ptr& log, const reader& x);
  void notify(const runtime::log_ptr& log);

private:
  process& home_;
  /// In the order they came in, so that a run does not depend on addresses.
  std::map<const runtime::session_log*, std::vector<std::weak_ptr<reader>>> by_log_;
  std::set<const runtime::session_log*> waking_;
};

}  // namespace kgents::sim
