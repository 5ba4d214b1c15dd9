// needs: postgres
#define CAF_SUITE event_feed

#include "runtime/agentese/event_feed.hpp"

#include <prometheus/registry.h>

#include <boost/asio/post.hpp>
#include <condition_variable>
#include <future>
#include <mutex>

#include "runtime/agentese/event_log_fixture.test.hpp"

using namespace kgents;
using namespace kgents::runtime;
using namespace kgents::runtime::agentese;
using namespace kgents::runtime::agentese::test;
using kgents::agentese::parse_pattern;
using kgents::agentese::pattern;

namespace {

const database& shared_database() {
  static const database instance{"event_feed"};
  return instance;
}

template <class F>
void on(io_thread& thread, F f) {
  std::promise<void> done;
  boost::asio::post(thread.context(), [&] {
    f();
    done.set_value();
  });
  CAF_REQUIRE(done.get_future().wait_for(patience) == std::future_status::ready);
}

/// A subscriber that takes what it can get and writes it down.
class subscriber {
public:
  subscriber(event_feed& feed, io_thread& thread, tenant_id tenant, std::string_view wanted = "*",
             begin_where from = begin_live{},
             delivery_mode delivery = delivery_mode::at_most_once, uint32_t buffer = 1000)
      : thread_{thread} {
    subscription_config config;
    config.pattern = std::get<pattern>(parse_pattern(wanted));
    config.delivery = delivery;
    config.buffer_size = buffer;
    on(thread_, [&] {
      reader_ = std::make_shared<event_reader>(feed.parts_for(thread_.index()), tenant,
                                               std::move(config), nullptr, from);
      reader_->on_ready = [this] { take(); };
      reader_->start([this](bool good) {
        placed_.set_value(good);
        take();
      });
      id = feed.id_of(*reader_, thread_.index());
    });
    auto placed = placed_.get_future();
    CAF_REQUIRE(placed.wait_for(patience) == std::future_status::ready);
    good = placed.get();
  }

  ~subscriber() {
    on(thread_, [this] {
      reader_->stop();
      reader_.reset();
    });
  }

  /// So many events or gaps, within the patience; what was heard, `(from-to)` for a gap.
  std::string wait(size_t count) {
    std::unique_lock guard{mutex_};
    heard_.wait_for(guard, patience, [&] { return all_.size() >= count; });
    std::string out;
    for (const auto& x : all_)
      out += x + ' ';
    return out;
  }

  /// The seqs are those from `first`, without a hole or double, so many.
  bool contiguous(int64_t first, size_t count) {
    wait(count);
    std::lock_guard guard{mutex_};
    if (all_.size() != count)
      return false;
    for (const auto& x : all_)
      if (x != std::to_string(first++))
        return false;
    return true;
  }

  std::string id;
  bool good = false;

private:
  void take() {
    while (const auto next = reader_->next()) {
      std::lock_guard guard{mutex_};
      if (next->gap)
        all_.push_back('(' + std::to_string(next->gap->from_seq) + '-' +
                       std::to_string(next->gap->to_seq) + ')');
      if (next->event != nullptr)
        all_.push_back(std::to_string(next->event->seq));
      heard_.notify_all();
    }
  }

  io_thread& thread_;
  std::shared_ptr<event_reader> reader_;
  std::promise<bool> placed_;
  std::mutex mutex_;
  std::condition_variable heard_;
  std::vector<std::string> all_;
};

struct fixture {
  io_thread sql{2, "sql"};
  io_threads threads{2};
  prometheus::Registry registry;
  subscription_metrics metrics{registry};
  sql::pool app, control;
  std::optional<event_feed> feed;
  std::optional<journal> log;
  tenant_id tenant = shared_database().new_tenant();

  /// `told`: the feed hears of the journal's commits.
  explicit fixture(bool told = true, event_feed::options how = {.listen_url = {}, .poll = 1h},
                   const std::string& url = shared_database().as("kg_app"))
      : app{sql.context(), {.url = url, .connections = 2}},
        control{sql.context(), {.url = shared_database().as("kg_control"), .connections = 2}} {
    feed.emplace(sql.context(), app, control, threads.all(), metrics, std::move(how));
    log.emplace(sql.context(), control);
    if (told)
      log->on_grown([this](const auto& logs) { feed->grown(logs); });
    sql.start();
    threads.start();
  }

  ~fixture() {
    log.reset();
    feed->stop();
    app.stop();
    control.stop();
    threads.stop_and_join();
    sql.stop();
    sql.join();
  }

  void note(size_t count, tenant_id whose, const std::string& node = "void.entropy") {
    for (size_t i = 0; i < count; ++i)
      log->note(some_mark(whose, node));
  }
  void commit(size_t count, const std::string& node = "void.entropy") {
    note(count, tenant, node);
    CAF_REQUIRE(log->flush(patience));
  }
  void trim_to(size_t keep) {
    std::promise<void> done;
    sql::run(control, sql::agentese_events::trim(tenant, keep, 24h, 1'000'000),
             [&](const auto&) { done.set_value(); });
    done.get_future().wait();
  }

  std::optional<bool> acknowledge(const std::string& id, tenant_id whose, const uuid& event) {
    auto answer = std::make_shared<std::promise<std::optional<bool>>>();
    auto got = answer->get_future();
    feed->acknowledge(whose, id, event, [answer](std::optional<bool> x) { answer->set_value(x); });
    CAF_REQUIRE(got.wait_for(patience) == std::future_status::ready);
    return got.get();
  }
};

}  // namespace

CAF_TEST(what is invoked reaches the subscribers of its tenant on every thread) {
  fixture x;
  const auto other = shared_database().new_tenant();
  x.commit(3);
  subscriber a{*x.feed, x.threads[0], x.tenant};
  subscriber b{*x.feed, x.threads[1], x.tenant};
  subscriber late{*x.feed, x.threads[1], x.tenant, "self.*"};
  subscriber foreign{*x.feed, x.threads[0], other};
  x.note(2, other);
  x.commit(2);
  x.commit(1, "self.memory");
  CAF_CHECK_EQUAL(a.wait(3), "4 5 6 ");
  CAF_CHECK_EQUAL(b.wait(3), "4 5 6 ");
  CAF_CHECK_EQUAL(late.wait(1), "6 ");
  CAF_CHECK_EQUAL(foreign.wait(2), "1 2 ");
}

CAF_TEST(who leaves and comes back hears what happens from then on) {
  fixture x;
  for (int64_t round = 0; round < 20; ++round) {
    subscriber a{*x.feed, x.threads[0], x.tenant};
    x.commit(1);
    CAF_CHECK_EQUAL(a.wait(1), std::to_string(round + 1) + ' ');
  }
}

CAF_TEST(a replay goes over into what is live without hole or double) {
  fixture x;
  x.commit(500);
  subscriber live{*x.feed, x.threads[0], x.tenant};
  std::thread writer{[&] {
    for (int i = 0; i < 100; ++i) {
      x.note(10, x.tenant);
      std::this_thread::yield();
    }
  }};
  subscriber all{*x.feed, x.threads[0], x.tenant, "*", begin_behind_seq{0}};
  subscriber some{*x.feed, x.threads[1], x.tenant, "*", begin_behind_seq{300},
                  delivery_mode::at_most_once, 2000};
  writer.join();
  CAF_CHECK(all.contiguous(1, 1500));
  CAF_CHECK(some.contiguous(301, 1200));
  CAF_CHECK(live.contiguous(501, 1000));
}

CAF_TEST(a replay begins behind an event or at a time) {
  fixture x;
  std::vector<mark> marks;
  for (int i = 0; i < 5; ++i) {
    marks.push_back(some_mark(x.tenant));
    marks.back().at += i * 1min;
    x.log->note(marks.back());
  }
  CAF_REQUIRE(x.log->flush(patience));
  subscriber behind{*x.feed, x.threads[0], x.tenant, "*", begin_behind_event{marks[1].event_id}};
  CAF_CHECK_EQUAL(behind.wait(3), "3 4 5 ");
  subscriber from{*x.feed, x.threads[0], x.tenant, "*", begin_at_time{marks[3].at}};
  CAF_CHECK_EQUAL(from.wait(2), "4 5 ");
  subscriber lost{*x.feed, x.threads[0], x.tenant, "*", begin_behind_event{uuid::random()}};
  CAF_CHECK_EQUAL(lost.wait(6), "(0-0) 1 2 3 4 5 ");
}

CAF_TEST(what is no longer retained is told as a gap) {
  fixture x;
  x.commit(10);
  x.trim_to(4);
  subscriber all{*x.feed, x.threads[0], x.tenant, "*", begin_behind_seq{2}};
  CAF_CHECK_EQUAL(all.wait(5), "(3-6) 7 8 9 10 ");
}

CAF_TEST(the news of other nodes is heard) {
  fixture x{false, {.listen_url = shared_database().as("kg_control"), .poll = 1h}};
  subscriber a{*x.feed, x.threads[0], x.tenant};
  // Nothing else wakes the feed, so it must be listening by then.
  const auto give_up = std::chrono::steady_clock::now() + patience;
  while (shared_database().admin("SELECT count(*) FROM pg_stat_activity WHERE application_name = "
                                 "'kgentsd-events' AND query LIKE 'LISTEN%' AND state = 'idle'") !=
             "1" &&
         std::chrono::steady_clock::now() < give_up)
    std::this_thread::yield();
  x.commit(2);
  CAF_CHECK_EQUAL(a.wait(2), "1 2 ");
}

CAF_TEST(what nobody tells is found by looking) {
  fixture x{false, {.listen_url = {}, .poll = 20ms}};
  subscriber a{*x.feed, x.threads[0], x.tenant};
  x.commit(2);
  CAF_CHECK_EQUAL(a.wait(2), "1 2 ");
  x.commit(1);
  CAF_CHECK_EQUAL(a.wait(3), "1 2 3 ");
}

CAF_TEST(a replay is refused when the database cannot be asked) {
  fixture x{true, {.listen_url = {}, .poll = 1h}, "host='/nonexistent' user=nobody"};
  subscriber a{*x.feed, x.threads[0], x.tenant, "*", begin_behind_seq{0}};
  CAF_CHECK(!a.good);
}

CAF_TEST(subscriptions are listed and acknowledged by their id within their tenant) {
  fixture x;
  const auto other = shared_database().new_tenant();
  subscriber a{*x.feed, x.threads[0], x.tenant, "self.**"};
  subscriber b{*x.feed, x.threads[1], x.tenant, "void.entropy", begin_live{},
               delivery_mode::at_least_once, 7};
  subscriber foreign{*x.feed, x.threads[1], other};
  const auto known = some_mark(x.tenant);
  x.log->note(known);
  CAF_CHECK_EQUAL(b.wait(1), "1 ");
  auto answer = std::make_shared<std::promise<std::vector<listed_subscription>>>();
  auto got = answer->get_future();
  x.feed->list(x.tenant, [answer](auto all) { answer->set_value(std::move(all)); });
  CAF_REQUIRE(got.wait_for(patience) == std::future_status::ready);
  auto all = got.get();
  std::sort(all.begin(), all.end(), [](auto& l, auto& r) { return l.pattern < r.pattern; });
  CAF_REQUIRE_EQUAL(all.size(), 2u);
  CAF_CHECK_EQUAL(all[0].id, a.id);
  CAF_CHECK_EQUAL(all[0].pattern, "self.**");
  CAF_CHECK_EQUAL(all[1].id, b.id);
  CAF_CHECK_EQUAL(all[1].buffer_size, 7u);
  CAF_CHECK_EQUAL(all[1].pending, 1u);
  CAF_CHECK(x.acknowledge(b.id, other, known.event_id) == std::nullopt);
  CAF_CHECK(x.acknowledge(b.id, x.tenant, uuid::random()) == std::optional{false});
  CAF_CHECK(x.acknowledge(b.id, x.tenant, known.event_id) == std::optional{true});
  CAF_CHECK(x.acknowledge(b.id, x.tenant, known.event_id) == std::optional{false});
  for (const auto* wrong : {"", "sub-", "sub-00000000-0-1", "sub-x-y-z", "sub-----"})
    CAF_CHECK(x.acknowledge(wrong, x.tenant, known.event_id) == std::nullopt);
  CAF_CHECK(x.acknowledge(b.id + "0000", x.tenant, known.event_id) == std::nullopt);
}
