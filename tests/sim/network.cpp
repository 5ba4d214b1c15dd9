#include "tests/sim/network.hpp"

#include <algorithm>

#include "tests/sim/process.hpp"

namespace kgents::sim {
namespace {

/// After which a side that hears nothing gives a link up, and how much later it may notice.
constexpr sim_time silent_after = 2500ms;
constexpr sim_time notice = 200ms;

}  // namespace

sim_time network::latency() {
  return rng_.chance(slow_frames_) ? rng_.between(5ms, 80ms) : rng_.between(100us, 2ms);
}

network::link network::find(const process& who, node_id peer) const {
  for (const auto& x : links_)
    for (int end = 0; end < 2; ++end)
      if (x->ends[end] == who.number() && x->ids[end] == who.self() && x->ids[1 - end] == peer &&
          x->open[end])
        return x;
  return nullptr;
}

bool network::linked(const process& who, node_id peer) const { return find(who, peer) != nullptr; }

/// With a new identity all links of the old one are cut.
void network::identify(process& who, node_id) {
  wanted_[who.number()].clear();
  for (const auto& x : std::vector(links_))
    for (int end = 0; end < 2; ++end)
      if (x->ends[end] == who.number())
        close(x, end);
}

void network::keep(process& who, std::set<node_id> wanted) {
  for (const auto& x : std::vector(links_))
    for (int end = 0; end < 2; ++end)
      if (x->ends[end] == who.number() && !wanted.contains(x->ids[1 - end]))
        close(x, end);
  wanted_[who.number()] = std::move(wanted);
  dial(who);
}

void network::dial(process& who) {
  for (const auto peer : wanted_[who.number()]) {
    if (find(who, peer))
      continue;
    for (const auto& x : all_) {
      if (x->self() != peer || !x->runs())
        continue;
      time_.at(
          time_.now() + 3 * latency() + 1ms, [this, &who, self = who.self(), &other = *x, peer] {
            if (who.self() != self || other.self() != peer || !who.runs() || !other.runs() ||
                blocked(who.number(), other.number()) || blocked(other.number(), who.number()) ||
                !wanted_[who.number()].contains(peer) || !wanted_[other.number()].contains(self) ||
                find(who, peer) || find(other, self))
              return;
            auto made = std::make_shared<connection>();
            made->ends[0] = who.number();
            made->ends[1] = other.number();
            made->ids[0] = self;
            made->ids[1] = peer;
            std::erase_if(links_, [](const link& y) { return !y->open[0] && !y->open[1]; });
            links_.push_back(made);
            for (int end = 0; end < 2; ++end)
              all_[made->ends[end]]->after(end == 0 ? 10us : latency(), [this, made, end] {
                if (made->open[end])
                  all_[made->ends[end]]->link_is_up(made->ids[1 - end]);
              });
          });
    }
  }
}

bool network::send(process& from, node_id to, frame what) {
  const auto x = find(from, to);
  if (!x)
    return false;
  const int end = x->ends[0] == from.number() ? 1 : 0;
  if (blocked(from.number(), x->ends[end]))
    x->held[end].push_back(std::move(what));
  else
    arrive(x, end, std::move(what));
  return true;
}

void network::arrive(const link& x, int end, frame what) {
  x->last[end] = std::max(time_.now() + latency(), x->last[end] + 1us);
  auto& receiver = *all_[x->ends[end]];
  receiver.at(x->last[end], [x, end, &receiver, what = std::move(what)] {
    if (x->open[end])
      what(receiver, x->ids[1 - end]);
  });
}

/// One side gives the link up; the other hears of it if it can.
void network::close(const link& x, int end) {
  auto& here = *all_[x->ends[end]];
  here.at(time_.now(), [this, x, end, &here] {
    if (!std::exchange(x->open[end], false))
      return;
    here.link_is_down(x->ids[1 - end]);
    if (!blocked(x->ends[end], x->ends[1 - end]))
      time_.at(time_.now() + latency(), [this, x, end] { close(x, 1 - end); });
    else
      time_.at(time_.now() + silent_after + notice, [this, x, end] { close(x, 1 - end); });
  });
}

void network::silence(process_number from, process_number to) {
  for (const auto& x : std::vector(links_))
    for (int end = 0; end < 2; ++end)
      if (x->ends[end] == to && x->ends[1 - end] == from && x->open[end])
        close(x, end);
}

void network::block(process_number from, process_number to) {
  const auto number = ++blocks_;
  blocked_[{from, to}] = number;
  time_.at(time_.now() + silent_after + rng_.between(0us, notice), [this, from, to, number] {
    if (const auto at = blocked_.find({from, to}); at != blocked_.end() && at->second == number)
      silence(from, to);
  });
}

void network::unblock(process_number from, process_number to) {
  if (blocked_.erase({from, to}) == 0)
    return;
  // TCP sends again what was not acknowledged: it comes late, and in order.
  for (const auto& x : std::vector(links_))
    for (int end = 0; end < 2; ++end)
      if (x->ends[end] == to && x->ends[1 - end] == from)
        for (auto& what : std::exchange(x->held[end], {}))
          arrive(x, end, std::move(what));
}

void network::unblock_all() {
  while (!blocked_.empty())
    unblock(blocked_.begin()->first.first, blocked_.begin()->first.second);
}

void network::break_one(process_number a, process_number b) {
  for (const auto& x : std::vector(links_))
    for (int end = 0; end < 2; ++end)
      if (x->ends[end] == a && x->ends[1 - end] == b && x->open[end])
        close(x, end);
}

void network::killed(process& who) {
  wanted_[who.number()].clear();
  for (const auto& x : std::vector(links_))
    for (int end = 0; end < 2; ++end)
      if (x->ends[end] == who.number() && std::exchange(x->open[end], false)) {
        const bool heard = !blocked(who.number(), x->ends[1 - end]);
        time_.at(time_.now() + (heard ? latency() : silent_after + notice),
                 [this, x, end] { close(x, 1 - end); });
      }
}

void network::paused(process& who) {
  time_.at(time_.now() + silent_after + rng_.between(0us, notice),
           [this, &who, pause = who.pauses()] {
             if (who.pauses() != pause || !who.is_paused())
               return;
             for (const auto& x : all_)
               silence(who.number(), x->number());
           });
}

}  // namespace kgents::sim
