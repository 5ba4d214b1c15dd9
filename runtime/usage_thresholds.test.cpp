// needs: postgres
#define CAF_SUITE usage_thresholds

#include "runtime/usage_thresholds.hpp"

#include <mutex>
#include <thread>

#include "runtime/agentese/event_log_fixture.test.hpp"

using namespace kgents;
using namespace kgents::runtime;
using agentese::test::patience;
using namespace std::chrono_literals;

namespace {

const agentese::test::database& shared_database() {
  static const agentese::test::database instance{"usage_thresholds"};
  return instance;
}

void change(const std::string& statement) {
  CAF_CHECK_EQUAL(shared_database().admin(statement + " RETURNING 1"), "1");
}

void use(tenant_id tenant, uint64_t tokens) {
  change(
      "INSERT INTO kg.usage_events (tenant_id, event_type, source, tokens_in) VALUES ('" +
      tenant.text() + "', 'llm_call', 'kgent', " + std::to_string(tokens) + ")");
}

struct fixture {
  io_thread thread{0, "sql"};
  sql::pool control{thread.context(),
                    {.url = shared_database().as("kg_control"), .connections = 1}};
  std::mutex mutex;
  std::vector<sql::crossed_threshold> told;
  bool well = true;
  tenant_id tenant = shared_database().new_tenant();

  fixture() {
    change("UPDATE kg.tenants SET tokens_limit_month = 1000 WHERE id = '" +
           tenant.text() + "'");
    thread.start();
  }
  ~fixture() {
    control.stop();
    thread.stop();
    thread.join();
  }

  /// Of this tenant, in the order in which they were told.
  std::vector<uint32_t> percents() {
    std::lock_guard guard{mutex};
    std::vector<uint32_t> out;
    for (const auto& x : told)
      if (x.tenant == tenant)
        out.push_back(x.percent);
    return out;
  }

  /// Looks until that many were told, and once more.
  void look(size_t most) {
    usage_thresholds subject{thread, control,
                             [this](const sql::crossed_threshold& x, std::function<void(bool)> done) {
                               {
                                 std::lock_guard guard{mutex};
                                 told.push_back(x);
                               }
                               done(well);
                             }};
    subject.start();
    const auto give_up = std::chrono::steady_clock::now() + patience;
    while (percents().size() < most && std::chrono::steady_clock::now() < give_up)
      std::this_thread::yield();
    while (well && untold() != "0" && std::chrono::steady_clock::now() < give_up)
      std::this_thread::yield();
    subject.stop(std::chrono::seconds{1});
  }

  [[nodiscard]] std::string untold() const {
    return shared_database().admin(
        "SELECT count(*) FROM kg.usage_thresholds WHERE told_at IS NULL AND tenant_id = '" +
        tenant.text() + "'");
  }
};

}  // namespace

CAF_TEST(each threshold is told once a month when it is reached) {
  fixture x;
  use(x.tenant, 499);
  use(x.tenant, 1);
  x.look(1);
  CAF_CHECK_EQUAL(x.percents(), (std::vector<uint32_t>{50}));
  use(x.tenant, 500);
  x.look(3);
  CAF_CHECK_EQUAL(x.percents(), (std::vector<uint32_t>{50, 80, 100}));
  CAF_CHECK_EQUAL(x.told.back().tokens_used, 1000u);
  CAF_CHECK_EQUAL(x.told.back().tokens_limit, 1000u);
}

CAF_TEST(what could not be told is told again under the same id) {
  fixture x;
  use(x.tenant, 600);
  x.well = false;
  x.look(1);
  CAF_CHECK_EQUAL(x.untold(), "1");
  x.well = true;
  x.look(2);
  CAF_CHECK_EQUAL(x.percents(), (std::vector<uint32_t>{50, 50}));
  CAF_CHECK_EQUAL(x.untold(), "0");
  CAF_CHECK(x.told.front().id == x.told.back().id);
}

CAF_TEST(unlimited tenants and past months have no thresholds) {
  fixture x;
  const auto other = shared_database().new_tenant();
  change("UPDATE kg.tenants SET tokens_limit_month = 0 WHERE id = '" +
         other.text() + "'");
  use(other, 1'000'000);
  change("UPDATE kg.tenants SET tokens_used_month = 5000, usage_period = "
         "'2020-01' WHERE id = '" +
         x.tenant.text() + "'");
  const auto last = shared_database().new_tenant();
  change("UPDATE kg.tenants SET tokens_limit_month = 10 WHERE id = '" +
         last.text() + "'");
  use(last, 5);
  x.tenant = last;
  x.look(1);
  std::lock_guard guard{x.mutex};
  for (const auto& told : x.told)
    CAF_CHECK(told.tenant == last);
}
