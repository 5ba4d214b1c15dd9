#include "runtime/admission/addresses.hpp"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <cmath>

namespace kgents::runtime {

namespace ip = boost::asio::ip;

namespace {

ip::address parsed(std::string_view text, boost::system::error_code& wrong) {
  const auto out = ip::make_address(std::string{text}, wrong);
  if (!wrong && out.is_v6() && out.to_v6().is_v4_mapped())
    return ip::make_address_v4(ip::v4_mapped, out.to_v6());
  return out;
}

}  // namespace

std::string client_of(std::string_view address) {
  boost::system::error_code wrong;
  const auto x = parsed(address, wrong);
  if (wrong)
    return std::string{address};
  if (x.is_v4())
    return x.to_string();
  auto bytes = x.to_v6().to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), static_cast<unsigned char>(0));
  return ip::address_v6{bytes}.to_string();
}

bool is_loopback(std::string_view address) noexcept {
  boost::system::error_code wrong;
  const auto x = parsed(address, wrong);
  return !wrong && x.is_loopback();
}

uint32_t address_limits::take(std::string_view address, clock::time_point now) {
  const double per_second = per_minute_ / 60;
  auto who = client_of(address);
  auto& p = parts_[std::hash<std::string>{}(who) % parts];
  std::lock_guard guard{p.mutex};
  auto at = p.all.find(who);
  if (at == p.all.end()) {
    const bool full = p.all.size() >= most_addresses / parts;
    if (full && now - p.swept >= std::chrono::seconds{1}) {  // a flood pays for few sweeps
      p.swept = now;
      std::erase_if(p.all,
                    [&](const auto& x) { return now - x.second.filled >= std::chrono::minutes{1}; });
    }
    if (p.all.size() >= most_addresses / parts)
      p.all.erase(p.all.begin());
    at = p.all.try_emplace(std::move(who)).first;
    at->second = {per_minute_, now};
  }
  auto& x = at->second;
  const std::chrono::duration<double> passed = now - x.filled;
  x.left = std::min(per_minute_, x.left + per_second * passed.count());
  x.filled = now;
  if (x.left < 1)
    return std::max(1u, static_cast<uint32_t>(std::ceil((1 - x.left) / per_second)));
  x.left -= 1;
  return 0;
}

size_t address_limits::size() const {
  size_t out = 0;
  for (const auto& p : parts_) {
    std::lock_guard guard{p.mutex};
    out += p.all.size();
  }
  return out;
}

}  // namespace kgents::runtime
