#define CAF_SUITE peer_tls

#include "runtime/cluster/tls.hpp"

#include "runtime/cluster/linked_nodes.test.hpp"

#include <caf/test/dsl.hpp>  // last: it defines macros named expect, allow, inject

using namespace kgents;
using namespace kgents::runtime;
using namespace kgents::runtime::cluster;
using namespace kgents::runtime::cluster::testing;

namespace {

std::string complaint(const std::string& ca, const std::string& cert, const std::string& key) {
  try {
    const tls_identity x{ca, cert, key};
    return {};
  } catch (const std::runtime_error& x) {
    return x.what();
  }
}

bool contains(const std::string& text, std::string_view part) {
  const bool out = text.find(part) != text.npos;
  if (!out)
    CAF_MESSAGE(text);
  return out;
}

}  // namespace

CAF_TEST(certificates that peers would refuse are named at the start) {
  authority ca;
  authority other;
  ca.issue("good");
  ca.issue("both", 3600, "serverAuth,clientAuth");
  ca.issue("server", 3600, "serverAuth");
  ca.issue("old", -60);
  other.issue("foreign");
  CAF_CHECK_EQUAL(complaint(ca.ca(), ca.cert("good"), ca.key("good")), "");
  CAF_CHECK_EQUAL(complaint(ca.ca(), ca.cert("both"), ca.key("both")), "");
  CAF_CHECK(contains(complaint(ca.ca(), ca.cert("server"), ca.key("server")),
                     "both TLS server and client"));
  CAF_CHECK(contains(complaint(ca.ca(), ca.cert("old"), ca.key("old")), "has expired"));
  CAF_CHECK(contains(complaint(ca.ca(), other.cert("foreign"), other.key("foreign")),
                     "peers would refuse the certificate " + other.cert("foreign")));
  CAF_CHECK(contains(complaint(ca.ca(), ca.cert("good"), ca.key("both")), "does not belong to"));
  CAF_CHECK(contains(complaint(ca.ca(), ca.cert("none"), ca.key("good")),
                     "cannot use the certificate chain " + ca.cert("none")));
  CAF_CHECK(
      contains(complaint(ca.ca(), ca.cert("good"), ca.cert("good")), "cannot use the private key"));
  CAF_CHECK(contains(complaint("/dev/null", ca.cert("good"), ca.key("good")),
                     "cannot use the authority /dev/null"));
}

CAF_TEST(only certificates of our authority get a link) {
  authority ours;
  authority theirs;
  for (const auto* name : {"node", "peer"})
    ours.issue(name);
  ours.issue("old", -60);
  ours.issue("server", 3600, "serverAuth");
  theirs.issue("node");
  node low{5, quick(&ours)};
  low.keep({{{9}, "raw", "127.0.0.1", 1}});
  const auto gets_in = [&](const authority& by, const std::string& name,
                           int version = TLS1_3_VERSION) {
    raw_peer x{low.port()};
    // In TLS 1.3 the side that dials is done before the other has looked at its certificate.
    return x.secure(by, name, version) && x.greet(9, 5);
  };
  CAF_CHECK(!gets_in(ours, ""));
  CAF_CHECK(!gets_in(theirs, "node"));
  CAF_CHECK(!gets_in(ours, "old"));
  CAF_CHECK(!gets_in(ours, "server"));
  CAF_CHECK(!gets_in(ours, "peer", TLS1_2_VERSION));
  CAF_CHECK_EQUAL(low.all_told(), "");
  CAF_CHECK(gets_in(ours, "peer"));
  CAF_CHECK(low.told({"up 9", "down 9"}));
}

CAF_TEST(a node does not talk to one of another authority) {
  authority ours;
  authority theirs;
  ours.issue("node");
  theirs.issue("node");
  node low{5, quick(&theirs)};
  node high{9, quick(&ours)};
  node good{4, quick(&ours)};
  low.keep({high.as_peer()});
  good.keep({high.as_peer()});
  high.keep({low.as_peer(), good.as_peer()});
  CAF_CHECK(good.told({"up 9"}));
  CAF_CHECK(high.told({"up 4"}));
  CAF_CHECK_EQUAL(low.all_told(), "");
}

CAF_TEST(plaintext does not get in) {
  authority ours;
  ours.issue("node");
  node low{5, quick(&ours)};
  low.keep({{{9}, "raw", "127.0.0.1", 1}});
  raw_peer x{low.port()};
  x.send(framed(encode(hello{protocol_version, {9}, {5}, "test", "raw"})));
  CAF_CHECK(x.ended());
  raw_peer web{low.port()};
  web.send("GET / HTTP/1.1\r\n\r\n");
  CAF_CHECK(web.ended());
  CAF_CHECK_EQUAL(low.all_told(), "");
}

CAF_TEST(a TLS handshake that stalls is cut) {
  authority ours;
  ours.issue("node");
  auto options = quick(&ours);
  options.hello_within = 200ms;
  node low{5, options};
  raw_peer x{low.port()};
  x.send("\x16\x03\x01");
  CAF_CHECK(x.ended());
}

CAF_TEST(a hello over TLS is refused in words) {
  authority ours;
  ours.issue("node");
  node low{5, quick(&ours)};
  raw_peer x{low.port()};
  CAF_REQUIRE(x.secure(ours, "node"));
  x.send(framed(encode(hello{protocol_version, {9}, {5}, "other", "raw"})));
  CAF_CHECK_EQUAL(x.refused(), "it belongs to cluster \"other\", this node to \"test\"");
  CAF_CHECK(x.ended());
}

CAF_TEST(a reload serves new certificates and leaves links alone) {
  authority ours;
  ours.issue("node");
  ours.issue("peer");
  const auto options = quick(&ours);
  node low{5, options};
  node high{9, options};
  introduce(low, high);
  CAF_REQUIRE(high.told({"up 5"}));
  ours.issue("node");
  const long renewed = ours.serial();
  const auto serial = [&] {
    raw_peer x{low.port()};
    return x.secure(ours, "peer") ? x.serial() : -1;
  };
  CAF_CHECK(serial() < renewed);
  CAF_CHECK_EQUAL(low.run([](transport& t) { return t.reload(); }), "");
  CAF_CHECK_EQUAL(serial(), renewed);
  // What cannot be used changes nothing.
  ours.issue("node", -60);
  CAF_CHECK(contains(low.run([](transport& t) { return t.reload(); }), "has expired"));
  CAF_CHECK_EQUAL(serial(), renewed);
  CAF_CHECK(high.told({"up 5"}));
  CAF_CHECK(high.send(5, "as before"));
  CAF_CHECK_EQUAL(low.first_frame(), "as before");
}
