#define CAF_SUITE point

#include "actors/cdc/point.hpp"

#include <boost/json/parse.hpp>

#include "actors/cdc/embeddings.hpp"
#include "actors/cdc/qdrant.hpp"
#include "actors/cdc/relay.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents;
using namespace kgents::cdc;
namespace json = boost::json;

namespace {

const tenant_id tenant = *tenant_id::parse("00000000-0000-0000-0000-000000000001");

change make(std::string payload, sql::cdc::operation what = sql::cdc::operation::insert) {
  change x;
  x.id = 7;
  x.tenant = tenant;
  x.what = what;
  x.table = "memories";
  x.row = "mem-1";
  x.payload = std::move(payload);
  x.created_at = "2026-01-01T00:00:00.000000+00:00";
  return x;
}

}  // namespace

CAF_TEST(a row has the same id everywhere) {
  // Python: uuid.uuid5(uuid.NAMESPACE_URL, "00000000-0000-0000-0000-000000000001/memories/mem-1")
  CAF_CHECK_EQUAL(point_id(tenant, "memories", "mem-1").text(),
                  "5736bd70-7bec-59a1-bbf4-64416cc81137");
  CAF_CHECK(point_id(tenant, "memories", "1") != point_id(tenant, "persona_garden", "1"));
}

CAF_TEST(the mock of an embedding is the same everywhere) {
  CAF_CHECK_EQUAL(fnv1a(""), 0xcbf29ce484222325u);
  CAF_CHECK_EQUAL(fnv1a("foobar"), 0x85944171f73967e8u);  // of FNV's own test vectors
  const auto x = mock_embedding("foobar", 3);
  const auto s = static_cast<double>(0x85944171f73967e8u % 1000);
  CAF_CHECK(x ==
            (std::vector<float>{static_cast<float>(s / 1000), static_cast<float>((s + 1) / 1000),
                                static_cast<float>((s + 2) / 1000)}));
}

CAF_TEST(a row becomes a point that says whose it is) {
  const auto x = to_point(make(R"({"id":"mem-1","content":"abc","tenant_id":"forged"})"));
  const auto& point = std::get<upsert_point>(x);
  CAF_CHECK_EQUAL(point.text, "abc");
  CAF_CHECK_EQUAL(point.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CAF_CHECK(point.payload.at("tenant_id").as_string() == tenant.text());
  CAF_CHECK(point.payload.at("row_id").as_string() == "mem-1");
  CAF_CHECK(point.payload.at("source").as_string() == "postgres");
  CAF_CHECK(point.payload.at("table").as_string() == "memories");
  CAF_CHECK(point.payload.at("content_sha256").as_string() == point.sha256);
}

CAF_TEST(rows without text and deleted ones have no point) {
  CAF_CHECK(std::holds_alternative<delete_point>(to_point(make(R"({"content":""})"))));
  CAF_CHECK(std::holds_alternative<delete_point>(to_point(make(R"({"title":"x"})"))));
  CAF_CHECK(std::holds_alternative<delete_point>(
      to_point(make(R"({"content":"x"})", sql::cdc::operation::remove))));
  CAF_CHECK(std::holds_alternative<invalid_point>(to_point(make("[]"))));
}

CAF_TEST(a batch is one body) {
  const auto a = point_id(tenant, "memories", "a");
  const auto b = point_id(tenant, "memories", "b");
  const auto c = point_id(tenant, "memories", "c");
  const auto body = batch_body({{a, {0.5F, 1}, {{"x", 1}}}, {b, {}, {{"x", 2}}}}, {c});
  CAF_CHECK(json::parse(body) ==
            json::parse(R"({"operations":[
              {"overwrite_payload":{"payload":{"x":2},"points":[")" +
                        b.text() + R"("]}},
              {"upsert":{"points":[{"id":")" +
                        a.text() + R"(","vector":[0.5,1.0],"payload":{"x":1}}]}},
              {"delete":{"points":[")" +
                        c.text() + R"("]}}]})"));
}

CAF_TEST(every search is of one tenant) {
  const auto body = json::parse(search_body(tenant, {0.5F}, 3));
  CAF_CHECK(body == json::parse(R"({"vector":[0.5],"limit":3,"with_payload":true,
    "filter":{"must":[{"key":"tenant_id","match":{"value":")" +
                                tenant.text() + R"("}}]}})"));
}

CAF_TEST(embeddings come in any order and fit or are refused) {
  const auto read = [](std::string_view data) {
    return read_embeddings(json::parse("{\"data\":" + std::string{data} + "}"), 2, 2);
  };
  const auto good = read(R"([{"index":1,"embedding":[3,4.5]},{"index":0,"embedding":[1,2]}])");
  CAF_CHECK(std::get<vectors>(good) == (vectors{{1, 2}, {3, 4.5F}}));
  for (const auto* data :
       {"[]", "null", R"([{"index":0,"embedding":[1,2]},{"index":0,"embedding":[1,2]}])",
        R"([{"index":0,"embedding":[1,2]},{"index":2,"embedding":[1,2]}])",
        R"([{"index":0,"embedding":[1,2]},{"index":1,"embedding":[1]}])",
        R"([{"index":0,"embedding":[1,2]},{"index":1,"embedding":[1,"x"]}])"})
    CAF_CHECK(std::holds_alternative<trouble>(read(data)));
}

CAF_TEST(answers tell whose fault it was) {
  const auto of = [](unsigned status) {
    outbound::http_answer x;
    x.status = status;
    x.body = "{}";
    return understand("it", x);
  };
  CAF_CHECK(of(200).index() == 0);
  for (const unsigned status : {401, 403, 429, 502, 503, 504})
    CAF_CHECK(std::get<trouble>(of(status)).away);
  for (const unsigned status : {400, 404, 413, 422, 500})
    CAF_CHECK(!std::get<trouble>(of(status)).away);
  CAF_CHECK(std::get<trouble>(understand("it", outbound::http_failure{"refused"})).away);
  CAF_CHECK(!std::get<trouble>(understand("it", outbound::http_failure{"timeout"})).away);
  CAF_CHECK_EQUAL(std::get<trouble>(of(422)).error, "it answered 422");
}

CAF_TEST(what is announced holds no secret) {
  auto x =
      make(R"({"id":"u","name":"Ana","email":"a@b","external_auth_id":"sub","key_hash":"00"})");
  x.table = "users";
  x.what = sql::cdc::operation::update;
  const auto out = announce(x);
  CAF_CHECK_EQUAL(out.subject, "events.users.update");
  CAF_CHECK_EQUAL(out.id, "outbox:7");
  CAF_CHECK(json::parse(out.payload) == json::parse(R"({"id":7,"tenant_id":")" + tenant.text() +
                                                    R"(","table":"users","operation":"UPDATE",
    "row_id":"mem-1","created_at":"2026-01-01T00:00:00.000000+00:00","data":{"id":"u","name":"Ana"}})"));
  x.payload = "{\"content\":\"" + std::string(announcement_bytes, 'x') + "\"}";
  CAF_CHECK(json::parse(announce(x).payload).at("data").is_null());
}

CAF_TEST(changes of one row are never under way at once) {
  std::vector<change> changes(5, make("{}"));
  for (size_t i = 0; i < changes.size(); ++i)
    changes[i].row = i == 3 ? "0" : std::to_string(i);
  CAF_CHECK_EQUAL(window(changes, 0), 3u);
  CAF_CHECK_EQUAL(window(changes, 3), 2u);
  CAF_CHECK_EQUAL(window(std::vector<change>{}, 0), 0u);
}
