#define CAF_SUITE ids

#include "protocol/ids.hpp"

#include <caf/test/dsl.hpp>

using kgents::uuid;

CAF_TEST(text and parse are inverse for every standard form) {
  const auto id = uuid::random();
  const auto text = id.text();
  CAF_CHECK_EQUAL(text.size(), 36u);
  CAF_CHECK(uuid::parse(text) == id);
  CAF_CHECK(uuid::parse("{" + text + "}") == id);
  CAF_CHECK(uuid::parse("urn:uuid:" + text) == id);
  CAF_CHECK(uuid::parse("0193A5B0-0000-7000-8000-0000000000Ff").has_value());
}

CAF_TEST(what is no uuid is refused) {
  for (auto text : {"", "not-a-uuid", "00000000-0000-0000-0000-00000000000",
                    "00000000-0000-0000-0000-0000000000001", "0000000000000000-0000-0000-00000000",
                    "g0000000-0000-0000-0000-000000000000"})
    CAF_CHECK(!uuid::parse(text));
}

CAF_TEST(a derived id is the published version 5 value) {
  const auto dns = *uuid::parse("6ba7b810-9dad-11d1-80b4-00c04fd430c8");
  CAF_CHECK_EQUAL(uuid::derived(dns, "python.org").text(), "886313e1-3b8a-5372-9b90-0c9aee199e5d");
}

CAF_TEST(time ordered ids sort by time and never repeat) {
  auto last = uuid::time_ordered();
  for (int i = 0; i < 1000; ++i) {
    const auto next = uuid::time_ordered();
    CAF_CHECK(next != last);
    CAF_CHECK(std::equal(last.bytes.begin(), last.bytes.begin() + 6, next.bytes.begin()) ||
              last < next);
    last = next;
  }
}
