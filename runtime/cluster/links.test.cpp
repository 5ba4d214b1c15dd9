#define CAF_SUITE links

#include <map>

#include "runtime/cluster/connector.hpp"
#include "runtime/cluster/linked_nodes.test.hpp"

#include <caf/test/dsl.hpp>  // last: it defines macros named expect, allow, inject

using namespace kgents;
using namespace kgents::runtime;
using namespace kgents::runtime::cluster;
using namespace kgents::runtime::cluster::testing;

namespace {

transport_peer raw_member(uint64_t id) { return {{id}, "raw", "127.0.0.1", 1}; }

std::string refusal_of_hello(node& at, const hello& x) {
  raw_peer peer{at.port()};
  const auto out = peer.send(framed(encode(x))).refused();
  return peer.ended() ? out : "(left open)";
}

}  // namespace

CAF_TEST(the higher id dials and a late member is let in once it is known) {
  node low{5};
  node high{9};
  high.keep({low.as_peer()});  // refused as often as it dials
  CAF_CHECK(refusal_of_hello(low, {protocol_version, {8}, {5}, "test", "raw"})
                .starts_with("node 8 is not among the members that this node (5) knows"));
  CAF_CHECK(!high.linked(5));
  low.keep({high.as_peer()});
  CAF_CHECK(high.told({"up 5"}));
  CAF_CHECK(low.told({"up 9"}));
  CAF_CHECK(high.linked(5));
}

CAF_TEST(a refused peer is told why with both values) {
  node low{5};
  low.keep({raw_member(9), raw_member(3)});
  CAF_CHECK_EQUAL(refusal_of_hello(low, {7, {9}, {5}, "test", "raw"}),
                  "it speaks protocol 7, this node speaks 1");
  CAF_CHECK_EQUAL(refusal_of_hello(low, {1, {9}, {5}, "other", "raw"}),
                  "it belongs to cluster \"other\", this node to \"test\"");
  CAF_CHECK_EQUAL(refusal_of_hello(low, {1, {9}, {4}, "test", "raw"}),
                  "it looks for node 4, this is node 5");
  CAF_CHECK_EQUAL(refusal_of_hello(low, {1, {5}, {5}, "test", "raw"}),
                  "it claims to be node 5, which is this node");
  CAF_CHECK_EQUAL(refusal_of_hello(low, {1, {3}, {5}, "test", "raw"}),
                  "node 3 dialled node 5, but the higher one must dial");
  CAF_CHECK_EQUAL(low.all_told(), "");
}

CAF_TEST(garbage is refused) {
  node low{5};
  low.keep({raw_member(9)});
  const std::map<std::string, std::string> cases{
      {"GET / HTTP/1.1\r\n\r\n", "it began with \"GET \""},
      {std::string("\x16\x03\x01\x02\x00\x01\x00\x01", 8), "it speaks TLS"},
      {std::string("\0\0\0\0", 4), "it does not speak the peer protocol"},
      {std::string("\0\0\x10\0", 4), "4096 bytes, at most 4092 are allowed"},
      {std::string("\xff\xff\xff\xff", 4), "4294967295 bytes"},
      {framed("KG"), "magic \"KG\""},
      {framed("KGPL"), "its hello is cut short"},
      {framed("KGNO go away"), "it began with a refusal"}};
  for (const auto& [bytes, expected] : cases) {
    raw_peer x{low.port()};
    const auto why = x.send(bytes).refused();
    CAF_CHECK(why.find(expected) != why.npos);
    CAF_MESSAGE(why);
    CAF_CHECK(x.ended());
  }
  CAF_CHECK_EQUAL(low.all_told(), "");
}

CAF_TEST(a refusal is not lost to bytes that nobody read) {
  node low{5};
  raw_peer x{low.port()};
  x.send("GET / HTTP/1.1\r\nX-Long: " + std::string(20'000, 'x') + "\r\n\r\n");
  CAF_CHECK(x.refused().starts_with("it does not speak the peer protocol"));
  CAF_CHECK(x.ended());
  CAF_CHECK(!x.was_reset);
}

CAF_TEST(ten thousand bytes may come one by one) {
  node low{5};
  low.keep({raw_member(9)});
  raw_peer x{low.port()};
  auto bytes = framed(encode(hello{protocol_version, {9}, {5}, "test", "raw"}));
  size_t frames = 0;
  for (; bytes.size() < 10'000; ++frames)
    bytes += framed(std::string(frames % 50 + 1, 'x'));
  for (const char c : bytes)
    x.send({&c, 1});
  const auto heard = low.frames(frames);
  CAF_CHECK_EQUAL(heard.size(), frames);
  for (size_t i = 0; i < heard.size(); ++i)
    CAF_CHECK_EQUAL(heard[i].size(), i % 50 + 1);
}

CAF_TEST(a stranger that says hello too slowly is cut) {
  auto options = quick();
  options.hello_within = 200ms;
  node low{5, options};
  low.keep({raw_member(9)});
  raw_peer silent{low.port()};
  raw_peer slow{low.port()};
  slow.send("\0");
  CAF_CHECK_EQUAL(slow.refused(), "it did not say hello within 200 ms");
  CAF_CHECK(slow.ended());
  CAF_CHECK(silent.ended());
}

CAF_TEST(strangers are bounded and do not lock members out) {
  auto options = quick();
  options.max_unidentified = 8;
  options.hello_within = 10min;
  node low{5, options};
  std::vector<std::unique_ptr<raw_peer>> crowd;
  for (int i = 0; i < 20; ++i)
    crowd.push_back(std::make_unique<raw_peer>(low.port()));
  for (int i = 0; i < 12; ++i)
    CAF_CHECK(crowd[static_cast<size_t>(i)]->ended());
  node high{9};
  introduce(low, high);
  CAF_CHECK(high.told({"up 5"}));
}

CAF_TEST(a newer connection replaces a half open one) {
  node low{5};
  low.keep({raw_member(9)});
  raw_peer first{low.port()};
  CAF_REQUIRE(first.greet(9, 5));
  CAF_CHECK(refusal_of_hello(low, {1, {9}, {5}, "other", "raw"}).starts_with("it belongs to"));
  CAF_CHECK(low.linked(9));
  raw_peer second{low.port()};
  CAF_REQUIRE(second.greet(9, 5));
  CAF_CHECK(first.ended());
  CAF_CHECK(low.told({"up 9", "down 9 replaced by a newer connection", "up 9"}));
  second.send(framed("on the new one"));
  CAF_CHECK_EQUAL(low.first_frame(), "on the new one");
}

CAF_TEST(a new identity cuts all links and makes them again) {
  node low{5};
  node high{9};
  introduce(low, high);
  CAF_REQUIRE(high.told({"up 5"}));
  CAF_REQUIRE(low.told({"up 9"}));
  high.run([](transport& t) { t.identify({12}); });
  CAF_CHECK(high.told({"up 5", "down 5 this node has a new identity"}));
  auto renamed = high.as_peer();
  renamed.id = {12};
  low.keep({renamed});
  CAF_CHECK(high.told({"up 5", "down 5", "up 5"}));
  CAF_CHECK(low.told({"up 9", "down 9", "up 12"}));
  CAF_CHECK(low.linked(12));
}

CAF_TEST(nobody is let in by a node without identity) {
  node low{5};
  low.keep({raw_member(9)});
  low.run([](transport& t) { t.identify({}); });
  CAF_CHECK_EQUAL(refusal_of_hello(low, {1, {9}, {5}, "test", "raw"}),
                  "this node has not joined the cluster yet");
  low.run([](transport& t) { t.identify({6}); });
  raw_peer x{low.port()};
  CAF_CHECK(x.greet(9, 6));
}

CAF_TEST(a node that comes back on the same port is found) {
  node high{9};
  auto low = std::make_unique<node>(5);
  auto options = quick();
  options.port = low->port();
  introduce(*low, high);
  CAF_REQUIRE(high.told({"up 5"}));
  low.reset();
  CAF_REQUIRE(high.told({"up 5", "down 5 it closed the connection"}));
  low = std::make_unique<node>(5, options);
  low->keep({high.as_peer()});
  CAF_CHECK(high.told({"up 5", "down 5", "up 5"}));
  CAF_CHECK(high.send(5, "again"));
  CAF_CHECK_EQUAL(low->first_frame(), "again");
}

CAF_TEST(a member that moved is dialled where it is now) {
  node low{5};
  node high{9};
  low.keep({high.as_peer()});
  auto elsewhere = low.as_peer();
  elsewhere.port = 1;
  high.keep({elsewhere});
  CAF_CHECK(!high.linked(5));
  high.keep({low.as_peer()});
  CAF_CHECK(high.told({"up 5"}));
}

CAF_TEST(a link that is wanted no more is cut and not made again) {
  node low{5};
  node high{9};
  introduce(low, high);
  CAF_REQUIRE(high.told({"up 5"}));
  CAF_REQUIRE(low.told({"up 9"}));
  low.keep({});
  CAF_CHECK(low.told({"up 9", "down 9 no link to that node is wanted any more"}));
  CAF_CHECK(high.told({"up 5", "down 5"}));
  CAF_CHECK(refusal_of_hello(low, {1, {9}, {5}, "test", "raw"}).starts_with("node 9 is not among"));
}

CAF_TEST(five nodes find one another by name) {
  std::vector<std::unique_ptr<node>> nodes;
  std::vector<transport_peer> all;
  for (const uint64_t id : {3, 1, 5, 4, 2}) {
    auto options = quick();
    options.host = "localhost";
    nodes.push_back(std::make_unique<node>(id, options));
    all.push_back(nodes.back()->as_peer());
    all.back().host = "localhost";
  }
  for (auto& x : nodes)
    x->keep(all);  // each is in the list itself
  for (auto& x : nodes) {
    x->told({"", "", "", ""});
    for (auto& y : nodes)
      CAF_CHECK_EQUAL(x->linked(y->id), x != y);
  }
}

CAF_TEST(a cluster of one neither listens nor dials) {
  node other{5};
  auto options = quick();
  options.host.clear();
  node alone{9, options};
  CAF_CHECK_EQUAL(alone.port(), 0u);
  alone.keep({other.as_peer()});
  CAF_CHECK(!alone.linked(5));
  CAF_CHECK(!alone.send(5, "x"));
}

CAF_TEST(attempts at a peer that hangs up are spaced) {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(at);
  CAF_REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&at), size) == 0);
  CAF_REQUIRE(::listen(listener, 128) == 0);
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&at), &size);
  const timeval second{1, 0};
  ::setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
  node high{9};  // up to 50 ms between attempts, 25 in the mean
  high.keep({{{5}, "deaf", "127.0.0.1", ntohs(at.sin_port)}});
  const auto start = std::chrono::steady_clock::now();
  size_t attempts = 0;
  while (std::chrono::steady_clock::now() - start < 1s) {
    const int x = ::accept(listener, nullptr, nullptr);
    if (x < 0)
      break;
    ++attempts;
    ::close(x);
  }
  CAF_CHECK(attempts >= 5);
  CAF_CHECK(attempts <= 150);
  ::close(listener);
}

CAF_TEST(a connect to an address that does not answer ends in time) {
  // A full backlog drops what comes: the silence of a firewall.
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(at);
  CAF_REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&at), size) == 0);
  CAF_REQUIRE(::listen(listener, 0) == 0);
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&at), &size);
  raw_peer only{ntohs(at.sin_port)};
  io_thread thread{0, "dial"};
  thread.start();
  std::promise<std::string> answer;
  const auto start = std::chrono::steady_clock::now();
  std::shared_ptr<connector> dial;
  boost::asio::post(thread.context(), [&] {
    dial = connector::start(thread, "127.0.0.1", ntohs(at.sin_port), 200ms,
                            [&](std::string why, tcp_socket) { answer.set_value(why); });
  });
  CAF_CHECK_EQUAL(answer.get_future().get(), "no answer in time");
  CAF_CHECK(std::chrono::steady_clock::now() - start < 2s);
  thread.stop();
  thread.join();
  ::close(listener);
}

CAF_TEST(what cannot be listened on is said at the start) {
  node taken{5};
  io_thread thread{0, "none"};
  auto options = quick();
  const auto failure = [&] {
    try {
      const auto x = make_transport(thread, options, {});
    } catch (const std::runtime_error& x) {
      return std::string{x.what()};
    }
    return std::string{"(none)"};
  };
  options.port = taken.port();
  CAF_CHECK(failure().find("Address already in use; KGENTS_CLUSTER_HOST") != std::string::npos);
  options.port = 0;
  options.host = "192.0.2.1";
  CAF_CHECK(failure().find("cannot listen for peers on 192.0.2.1") != std::string::npos);
  options.host = "no-such-host.invalid";
  CAF_CHECK(failure().find("cannot listen for peers on no-such-host.invalid") != std::string::npos);
  options = quick();
  options.cert = "/dev/null";
  CAF_CHECK(failure().find("KGENTS_CLUSTER_TLS_CA") != std::string::npos);
}
