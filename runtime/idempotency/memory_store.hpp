#pragma once

#include <chrono>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "runtime/idempotency/claim.hpp"
#include "runtime/idempotency/limits.hpp"

namespace kgents::runtime::idempotency {

/// Claims and answers of one process, bounded in number and bytes: the oldest are forgotten first.
/// No clock, no lock: its owner's thread only.
class memory_store {
public:
  using time_point = std::chrono::steady_clock::time_point;

  explicit memory_store(size_t most_entries = memory_entries, size_t most_bytes = memory_bytes)
      : most_entries_{most_entries}, most_bytes_{most_bytes} {}

  /// Fresh claims are marked with `token`.
  [[nodiscard]] claimed claim(std::string_view id, std::string token, time_point now,
                              std::chrono::milliseconds for_at_most);
  /// Unless the claim is another's by now.
  void complete(std::string_view id, std::string_view token, std::string answer, time_point now,
                std::chrono::milliseconds keep);
  void release(std::string_view id, std::string_view token);

  [[nodiscard]] size_t entries() const noexcept { return known_.size(); }
  [[nodiscard]] size_t bytes() const noexcept { return bytes_; }

private:
  struct entry {
    std::string id;
    std::string token;   // empty: done
    std::string answer;  // of what is done
    time_point until;
  };
  using order = std::list<entry>;  // oldest first

  [[nodiscard]] static size_t size_of(const entry& x) noexcept {
    return x.id.size() + x.token.size() + x.answer.size();
  }
  void add(entry x);
  void remove(order::iterator at);

  const size_t most_entries_;
  const size_t most_bytes_;
  order order_;
  std::unordered_map<std::string_view, order::iterator> known_;  // keys are the entries' own
  size_t bytes_ = 0;
};

}  // namespace kgents::runtime::idempotency
