#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace kgents::persona {

/// FNV-1a, 64 bits (Fowler, Noll, Vo). Not std::hash: an answer that is continued after a crash,
/// perhaps by another build on another machine, must come out the same.
[[nodiscard]] constexpr uint64_t hash_of(std::string_view text,
                                         uint64_t from = 0xcbf29ce484222325u) noexcept {
  for (unsigned char c : text)
    from = (from ^ c) * 0x100000001b3u;
  return from;
}

/// splitmix64 (Steele, Lea, Flood 2014): one word of state, the same sequence everywhere. For
/// picking phrases, not secrets.
class random_choice {
public:
  explicit constexpr random_choice(uint64_t seed) noexcept : state_{seed} {}

  constexpr uint64_t next() noexcept {
    auto x = state_ += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }

  /// 0 … n-1; n must not be 0 and fit 32 bits.
  constexpr size_t below(size_t n) noexcept {
    return static_cast<size_t>(((next() >> 32) * static_cast<uint64_t>(n)) >> 32);
  }

  template <class Range>
  constexpr const auto& pick(const Range& range) noexcept {
    return range[below(range.size())];
  }

private:
  uint64_t state_;
};

}  // namespace kgents::persona
