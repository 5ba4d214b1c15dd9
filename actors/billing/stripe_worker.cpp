#include "actors/billing/stripe_worker.hpp"

#include <boost/asio/post.hpp>
#include <boost/json/parse.hpp>
#include <chrono>
#include <deque>

#include "runtime/limits.hpp"
#include "runtime/single_worker.hpp"
#include "runtime/telemetry/log.hpp"

namespace kgents::billing {

namespace {

using clock = std::chrono::steady_clock;

/// Events read at once: up to 1 MiB each, so this bounds the memory of a backlog.
constexpr uint32_t events_a_round = 20;
/// How late an event may be that came in through another node.
constexpr std::chrono::milliseconds look_every{1000};
/// While the database cannot be asked.
constexpr std::chrono::milliseconds rest_after_failure{2000};
constexpr auto trim_every = std::chrono::hours{1};
constexpr uint32_t trimmed_at_once = 1000;

}  // namespace

class stripe_worker::impl : public std::enable_shared_from_this<impl> {
public:
  impl(runtime::io_thread& thread, sql::pool& control, tier_of_price tiers, stripe_figures& figures,
       stripe_probe probe)
      : thread_{thread},
        control_{control},
        tiers_{std::move(tiers)},
        figures_{figures},
        probe_{std::move(probe)} {}

  void begin() {
    worker_ = std::make_unique<runtime::single_worker>(thread_, control_, "stripe",
                                                       [weak = weak_from_this()](auto next) {
                                                         if (auto self = weak.lock())
                                                           self->look(std::move(next));
                                                       });
    worker_->start();
  }
  void end(std::chrono::milliseconds at_most) {
    if (worker_)
      worker_->stop(at_most);
  }
  void wake() {
    if (worker_)
      worker_->wake();
  }

private:
  using next_round = runtime::single_worker::next_round;

  template <class T, class F>
  void ask(sql::query<T> what, F done) {
    what.work.deadline = clock::now() + runtime::limits::sql_deadline;
    sql::run(control_, std::move(what), [self = shared_from_this(), done](auto out) mutable {
      boost::asio::post(
          self->thread_.context(),
          [self, done = std::move(done), out = std::move(out)]() mutable { done(std::move(out)); });
    });
  }

  void look(next_round next) {
    trim();
    ask(sql::stripe_events::due(events_a_round), [this, next = std::move(next)](auto out) {
      if (auto* due = std::get_if<0>(&out)) {
        due_.assign(std::make_move_iterator(due->begin()), std::make_move_iterator(due->end()));
        full_ = due->size() == events_a_round;
        step(next);
      } else {
        next(rest_after_failure);
      }
    });
  }

  /// One after the other: they are in Stripe's order.
  void step(const next_round& next) {
    if (due_.empty()) {
      next(full_ ? std::chrono::milliseconds{0} : look_every);
      return;
    }
    auto event = std::move(due_.front());
    due_.pop_front();
    boost::system::error_code bad;
    const auto parsed = boost::json::parse(event.payload, bad);
    if (bad || !parsed.is_object()) {
      put_off(event.id, "the payload is no JSON object", next);
      return;
    }
    const auto type = text_of(parsed.get_object(), "type");
    auto meaning = translate_stripe_event(parsed.get_object(), tiers_);
    ask(sql::stripe_events::apply(meaning.what),
        [this, next, type, id = event.id, ignored = meaning.what.effect == "none",
         price = std::move(meaning.unknown_price)](auto out) {
          if (const auto* result = std::get_if<0>(&out)) {
            heard(id, type, *result, ignored, price);
            step(next);
          } else if (std::get<1>(out).what == sql::failure::kind::rejected) {
            put_off(id, std::get<1>(out).message, next);
          } else {
            due_.clear();  // the database is away: nothing of this is the event's fault
            next(rest_after_failure);
          }
        });
  }

  void heard(const std::string& id, const std::string& type, sql::stripe_result result,
             bool ignored, const std::string& unknown_price) {
    using enum sql::stripe_result;
    switch (result) {
      case taken:
        return;
      case unlinked:
        ++figures_.failed;
        log::info("no tenant has this event's customer yet",
                  {{"stripe_event", id}, {"event_type", type}});
        return;
      case failed:
        gave_up(id, "no tenant has its customer");
        return;
      case done:
      case stale:
        break;
    }
    ++(ignored ? figures_.skipped : figures_.processed);
    probe_.processed(stripe_metric_label(type));
    if (result == stale)
      log::info("an event of Stripe came too late to change its tenant",
                {{"stripe_event", id}, {"event_type", type}});
    if (!unknown_price.empty()) {
      probe_.failed();
      log::error("no tier is set for a price of Stripe (STRIPE_PRICE_*): the tenant keeps its own",
                 {{"stripe_event", id}, {"price", unknown_price}});
    }
  }

  void put_off(const std::string& id, const std::string& why, const next_round& next) {
    ask(sql::stripe_events::put_off(id, why), [this, id, why, next](auto out) {
      const auto* last = std::get_if<0>(&out);
      if (last != nullptr && *last) {
        gave_up(id, why);
      } else {
        ++figures_.failed;
        probe_.failed();
        log::warn("an event of Stripe could not be applied",
                  {{"stripe_event", id}, {"error", why}});
      }
      step(next);
    });
  }

  void gave_up(const std::string& id, const std::string& why) {
    ++figures_.failed;
    probe_.failed();
    log::error("an event of Stripe was given up after its last attempt",
               {{"stripe_event", id}, {"error", why}});
  }

  void trim() {
    if (clock::now() < trim_at_)
      return;
    trim_at_ = clock::now() + trim_every;
    ask(sql::stripe_events::trim(trimmed_at_once), [](auto) {});
  }

  runtime::io_thread& thread_;
  sql::pool& control_;
  const tier_of_price tiers_;
  stripe_figures& figures_;
  const stripe_probe probe_;
  std::unique_ptr<runtime::single_worker> worker_;
  std::deque<sql::due_stripe_event> due_;
  bool full_ = false;
  clock::time_point trim_at_{};
};

stripe_worker::stripe_worker(runtime::io_thread& thread, sql::pool& control, tier_of_price tiers,
                             stripe_figures& figures, stripe_probe probe)
    : impl_{std::make_shared<impl>(thread, control, std::move(tiers), figures, std::move(probe))} {}

stripe_worker::~stripe_worker() { stop({}); }

void stripe_worker::start() { impl_->begin(); }
void stripe_worker::stop(std::chrono::milliseconds at_most) { impl_->end(at_most); }
void stripe_worker::wake() { impl_->wake(); }

}  // namespace kgents::billing
