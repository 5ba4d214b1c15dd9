#define CAF_SUITE saas_health

#include "gateway/saas_health.hpp"

#include <caf/test/unit_test.hpp>

using namespace kgents::gateway;
namespace json = boost::json;

namespace {

saas_parts::part says(bool configured, std::string_view status) {
  return [=] { return json::object{{"configured", configured}, {"status", status}}; };
}

std::string_view verdict(const json::object& x) { return x.at("status").as_string(); }

}  // namespace

CAF_TEST(nothing configured is not started) {
  const auto x = saas_health({});
  CAF_CHECK_EQUAL(verdict(x), "not_started");
  CAF_CHECK(!x.at("started").as_bool());
  for (const auto* name : {"openmeter", "nats", "stripe", "redis"}) {
    CAF_CHECK(!x.at(name).as_object().at("configured").as_bool());
    CAF_CHECK_EQUAL(verdict(x.at(name).as_object()), "disabled");
  }
}

CAF_TEST(what is not configured does not degrade) {
  const auto x = saas_health({.nats = says(true, "healthy"), .redis = says(false, "disabled")});
  CAF_CHECK_EQUAL(verdict(x), "ok");
  CAF_CHECK(x.at("started").as_bool());
}

CAF_TEST(each that is configured and not healthy degrades) {
  for (const auto* status :
       {"unhealthy", "degraded", "disconnected", "circuit_open", "error", "not_started"}) {
    CAF_MESSAGE(status);
    CAF_CHECK_EQUAL(verdict(saas_health({.openmeter = says(true, "healthy"),
                                         .nats = says(true, status)})),
                    "degraded");
    CAF_CHECK_EQUAL(verdict(saas_health({.openmeter = says(true, status),
                                         .redis = says(true, "healthy")})),
                    "degraded");
  }
}

CAF_TEST(before any of them runs it is not started) {
  CAF_CHECK_EQUAL(verdict(saas_health({.nats = says(true, "not_started")})), "not_started");
}
