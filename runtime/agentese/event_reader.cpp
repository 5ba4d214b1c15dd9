#include "runtime/agentese/event_reader.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "runtime/agentese/event_hub.hpp"

namespace kgents::runtime::agentese {

event_reader::event_reader(const parts& with, tenant_id tenant, subscription_config config,
                           std::shared_ptr<const afforded_check> afforded, begin_where from)
    : hub_{with.hub},
      app_{with.app},
      metrics_{with.metrics},
      tenant_{tenant},
      machine_{std::move(config), std::move(afforded)},
      replay_{std::make_unique<replay>()} {
  replay_->from = from;
  replay_->retry.on_fire([this] { fill(); });
}

event_reader::~event_reader() { stop(); }

void event_reader::start(std::function<void(bool)> placed) {
  replay_->placed = std::move(placed);
  stage_ = stage::joining;
  active_.emplace(metrics_.active(config().pattern.what, tenant_));
  if (config().delivery == delivery_mode::at_least_once) {
    again_.on_fire([this] { redeliver(); });
    hub_.thread().wheel().arm(again_, limits::redeliver_check);
  }
  number_ = hub_.add(*this);
}

void event_reader::stop() {
  if (stage_ == stage::idle || stage_ == stage::stopped)
    return;
  stage_ = stage::stopped;
  on_ready = [] {};
  hub_.remove(*this);
  again_.disarm();
  replay_.reset();
  active_.reset();
}

template <class T, class F>
void event_reader::ask(sql::query<T> what, F done) {
  what.work.deadline = std::chrono::steady_clock::now() + limits::feed_deadline;
  auto& context = hub_.thread().context();
  sql::run(app_, std::move(what),
           [weak = weak_from_this(), &context, done = std::move(done)](sql::answer<T> out) {
             boost::asio::post(context, [weak, done, out = std::move(out)]() mutable {
               if (const auto self = weak.lock();
                   self != nullptr && self->stage_ != stage::stopped)
                 done(*self, std::move(out));
             });
           });
}

void event_reader::begun(int64_t seq) {
  if (stage_ != stage::joining)
    return;
  machine_.begin_behind(seq);
  if (std::holds_alternative<begin_live>(replay_->from)) {
    stage_ = stage::live;
    place(true);
    replay_.reset();
    return;
  }
  stage_ = stage::locating;
  locate();
}

void event_reader::failed() {
  stage_ = stage::stopped;  // the hub has forgotten this reader already
  again_.disarm();
  active_.reset();
  place(false);
}

void event_reader::place(bool good) {
  // Later: whoever is told may be in the middle of `start`, and may drop this.
  boost::asio::post(hub_.thread().context(),
                    [placed = std::exchange(replay_->placed, {}), good] { placed(good); });
}

void event_reader::locate() {
  const auto done = [](event_reader& self, sql::answer<sql::agentese_replay_start> out) {
    if (const auto* at = std::get_if<0>(&out)) {
      self.located(*at);
    } else {
      auto placed = std::exchange(self.replay_->placed, {});
      self.stop();
      placed(false);
    }
  };
  namespace log = sql::agentese_events;
  if (const auto* x = std::get_if<begin_behind_event>(&replay_->from))
    ask(log::replay_behind(tenant_, x->event), done);
  else if (const auto* x = std::get_if<begin_at_time>(&replay_->from))
    ask(log::replay_from(tenant_, x->time), done);
  else
    ask(log::replay_offset(tenant_, std::get<begin_behind_seq>(replay_->from).seq), done);
}

void event_reader::located(const sql::agentese_replay_start& at) {
  stage_ = stage::replaying;
  machine_.begin_behind(at.after);
  if (at.incomplete) {
    event_gap gap{.why = event_gap::cause::not_retained, .to_seq = at.log.trimmed_seq};
    if (std::holds_alternative<begin_behind_event>(replay_->from))
      gap.why = event_gap::cause::unknown_event;
    if (const auto* x = std::get_if<begin_behind_seq>(&replay_->from))
      gap.from_seq = x->seq + 1;
    machine_.missed(gap);
  }
  place(true);
  fill();
}

void event_reader::fill() {
  if (stage_ != stage::replaying || replay_->reading)
    return;
  auto& x = *replay_;
  while (x.at < x.page.size() && machine_.has_room())
    offer(x.page[x.at++]);
  if (x.at < x.page.size())
    return;  // the reader takes some first
  if (machine_.position() >= hub_.last_seq(tenant_)) {
    stage_ = stage::live;
    replay_.reset();
    return;
  }
  read_page();
}

void event_reader::read_page() {
  replay_->reading = true;
  ask(sql::agentese_events::page(tenant_, machine_.position(), limits::feed_page),
      [](event_reader& self, sql::answer<std::vector<event_ptr>> out) {
        self.replay_->reading = false;
        auto* page = std::get_if<0>(&out);
        if (page == nullptr) {
          self.hub_.thread().wheel().arm(self.replay_->retry, limits::replay_retry);
          return;
        }
        if (page->empty())  // they were trimmed since
          self.machine_.missed({.why = event_gap::cause::not_retained,
                                .from_seq = self.machine_.position() + 1,
                                .to_seq = self.hub_.last_seq(self.tenant_)});
        self.replay_->page = std::move(*page);
        self.replay_->at = 0;
        self.fill();
        self.on_ready();
      });
}

void event_reader::offer(const event_ptr& x) {
  if (machine_.offer(x) == subscription::offered::dropped)
    metrics_.dropped(config().pattern.what, subscription_metrics::cause::buffer_full).Increment();
}

void event_reader::live_events(const std::vector<event_ptr>& events) {
  if (stage_ != stage::live)
    return;  // the replay reads them
  for (const auto& x : events)
    offer(x);
  if (machine_.pending() > 0 || machine_.has_gap())
    on_ready();
}

std::optional<subscription::delivery> event_reader::next() {
  auto out = machine_.next(subscription::clock::now());
  if (stage_ == stage::replaying && (!out || machine_.has_room())) {
    fill();
    if (!out)
      out = machine_.next(subscription::clock::now());
  }
  if (out && out->event != nullptr) {
    const auto& event = *out->event;
    const auto form = config().pattern.what;
    metrics_.delivered(form, event.type).Increment();
    const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
        std::chrono::system_clock::now().time_since_epoch());
    metrics_.lag(form).Observe(
        static_cast<double>(std::max<int64_t>(0, now.count() - event.timestamp_us)) / 1e6);
  }
  return out;
}

bool event_reader::acknowledge(const uuid& event) {
  const bool known = machine_.acknowledge(event);
  if (known)
    on_ready();  // there may be room for more
  return known;
}

void event_reader::redeliver() {
  const auto given_up = machine_.check_redelivery(subscription::clock::now());
  if (given_up > 0)
    metrics_.dropped(config().pattern.what, subscription_metrics::cause::max_redelivery)
        .Increment(static_cast<double>(given_up));
  hub_.thread().wheel().arm(again_, limits::redeliver_check);
  on_ready();
}

}  // namespace kgents::runtime::agentese
