//! Points on the globe. The replies are those of Redis 8.2.3.

use crate::keys::expect_each as expect;
use crate::memory::Memory;
use aleadb::base::prng::Prng;

#[test]
fn points_are_added_and_moved() {
    expect(&[
        ("GEOADD k 13.361389 38.115556 Palermo 15.087269 37.502669 Catania", r":2\r\n", ""),
        ("GEOADD k 13.361389 38.115556 Palermo 16 1 hex", r":1\r\n", ""),
        ("GEOADD k NX 1 1 Palermo 2 2 new", r":1\r\n", ""),
        ("GEOADD k XX CH 1 1 new 2 2 nobody", r":1\r\n", ""),
        ("GEOADD k CH 13 38 Palermo 0x10 1 hex 7 8 other", r":2\r\n", ""),
        ("GEOADD none XX 1 1 a", r":0\r\n", ""),
        ("EXISTS none", r":0\r\n", ""),
        (
            "ZRANGE k 0 -1 WITHSCORES",
            concat!(
                r"*10\r\n$3\r\nnew\r\n$16\r\n3377822707026402\r\n$5\r\nother\r\n$16\r\n3385442150013625\r\n$3\r\nhex\r\n$1",
                r"6\r\n3387279646761920\r\n$7\r\nPalermo\r\n$16\r\n3479065152021743\r\n$7\r\nCatania\r\n$16\r\n34794473707",
                r"96909\r\n"
            ),
            concat!(
                r"*5\r\n*2\r\n$3\r\nnew\r\n,3377822707026402\r\n*2\r\n$5\r\nother\r\n,3385442150013625\r\n*2\r\n$3\r\nhex",
                r"\r\n,3387279646761920\r\n*2\r\n$7\r\nPalermo\r\n,3479065152021743\r\n*2\r\n$7\r\nCatania\r\n,34794473707",
                r"96909\r\n"
            ),
        ),
        ("GEOADD k 13 38", r"-ERR wrong number of arguments for \'geoadd\' command\r\n", ""),
        ("GEOADD k 13 38 a 14", r"-ERR syntax error\r\n", ""),
        ("GEOADD k NX XX 13 38 a", r"-ERR syntax error\r\n", ""),
        ("GEOADD k NX XX CH", r"-ERR syntax error\r\n", ""),
        ("GEOADD k NX CH CH", r"-ERR syntax error\r\n", ""),
        ("GEOADD k 181 38 a", r"-ERR invalid longitude,latitude pair 181.000000,38.000000\r\n", ""),
        ("GEOADD k 1 1 a -180.5 -86 b", r"-ERR invalid longitude,latitude pair -180.500000,-86.000000\r\n", ""),
        ("GEOADD k 1e20 inf a", r"-ERR invalid longitude,latitude pair 100000000000000000000.000000,inf\r\n", ""),
        ("GEOADD k nan 1 a", r"-ERR value is not a valid float\r\n", ""),
        ("GEOADD k 1 x a", r"-ERR value is not a valid float\r\n", ""),
        ("ZCARD k", r":5\r\n", ""),
        ("SET s 1", r"+OK\r\n", ""),
        ("GEOADD s 1 1 a", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("GEOADD s 1 200 a", r"-ERR invalid longitude,latitude pair 1.000000,200.000000\r\n", ""),
    ]);
}

#[test]
fn members_have_places_and_texts() {
    expect(&[
        ("GEOADD k 13.361389 38.115556 Palermo 180 85.05112878 corner -180 -85.05112878 other 0 0 7", r":4\r\n", ""),
        (
            "GEOPOS k corner other Palermo nobody 7",
            concat!(
                r"*5\r\n*2\r\n$3\r\n180\r\n$11\r\n85.05112878\r\n*2\r\n$19\r\n-179.99999731779099\r\n$18\r\n-85.0511275126",
                r"3943\r\n*2\r\n$18\r\n13.361389338970184\r\n$16\r\n38.1155563954963\r\n*-1\r\n*2\r\n$20\r\n2.682209014892",
                r"578e-6\r\n$21\r\n1.2673605809254695e-6\r\n"
            ),
            concat!(
                r"*5\r\n*2\r\n,180\r\n,85.05112878\r\n*2\r\n,-179.99999731779099\r\n,-85.05112751263943\r\n*2\r\n,13.36138",
                r"9338970184\r\n,38.1155563954963\r\n_\r\n*2\r\n,2.682209014892578e-6\r\n,1.2673605809254695e-6\r\n"
            ),
        ),
        (
            "GEOHASH k corner other Palermo nobody 7",
            r"*5\r\n$11\r\nbp05b5048p0\r\n$11\r\n00bh0hbj200\r\n$11\r\nsqc8b49rny0\r\n$-1\r\n$11\r\ns0000000000\r\n",
            r"*5\r\n$11\r\nbp05b5048p0\r\n$11\r\n00bh0hbj200\r\n$11\r\nsqc8b49rny0\r\n_\r\n$11\r\ns0000000000\r\n",
        ),
        ("GEOPOS k", r"*0\r\n", ""),
        ("GEOHASH k", r"*0\r\n", ""),
        ("GEOPOS none a b", r"*2\r\n*-1\r\n*-1\r\n", r"*2\r\n_\r\n_\r\n"),
        ("GEOHASH none a b", r"*2\r\n$-1\r\n$-1\r\n", r"*2\r\n_\r\n_\r\n"),
        ("SET s 1", r"+OK\r\n", ""),
        ("GEOPOS s a", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("GEOHASH s a", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        (
            "ZADD any 1e300 a -5 b inf c -inf d 1.7 e 4503599627370496 f 18446744073709551615 g 9223372036854775808 h 1e18 i -9e18 j",
            r":10\r\n",
            "",
        ),
        (
            "GEOPOS any a b c d e f g h i j",
            concat!(
                r"*10\r\n*2\r\n$19\r\n-179.99999731779099\r\n$18\r\n-85.05112751263943\r\n*2\r\n$3\r\n180\r\n$11\r\n85.051",
                r"12878\r\n*2\r\n$19\r\n-179.99999731779099\r\n$18\r\n-85.05112751263943\r\n*2\r\n$3\r\n180\r\n$18\r\n-85.",
                r"05112751263943\r\n*2\r\n$19\r\n-179.99999731779099\r\n$18\r\n-85.05112497791825\r\n*2\r\n$19\r\n-179.999",
                r"99731779099\r\n$11\r\n85.05112878\r\n*2\r\n$19\r\n-179.99999731779099\r\n$18\r\n-85.05112751263943\r\n*2",
                r"\r\n$3\r\n180\r\n$18\r\n-85.05112751263943\r\n*2\r\n$3\r\n180\r\n$11\r\n85.05112878\r\n*2\r\n$3\r\n180\r",
                r"\n$11\r\n85.05112878\r\n"
            ),
            concat!(
                r"*10\r\n*2\r\n,-179.99999731779099\r\n,-85.05112751263943\r\n*2\r\n,180\r\n,85.05112878\r\n*2\r\n,-179.99",
                r"999731779099\r\n,-85.05112751263943\r\n*2\r\n,180\r\n,-85.05112751263943\r\n*2\r\n,-179.99999731779099\r",
                r"\n,-85.05112497791825\r\n*2\r\n,-179.99999731779099\r\n,85.05112878\r\n*2\r\n,-179.99999731779099\r\n,-8",
                r"5.05112751263943\r\n*2\r\n,180\r\n,-85.05112751263943\r\n*2\r\n,180\r\n,85.05112878\r\n*2\r\n,180\r\n,85",
                r".05112878\r\n"
            ),
        ),
        (
            "GEOHASH any a b c d e f g h i j",
            concat!(
                r"*10\r\n$11\r\n00bh0hbj200\r\n$11\r\nbp05b5048p0\r\n$11\r\n00bh0hbj200\r\n$11\r\n00bh0hbj200\r\n$11\r\n00",
                r"bh0hbj210\r\n$11\r\nbp05b5048p0\r\n$11\r\n00bh0hbj200\r\n$11\r\n00bh0hbj200\r\n$11\r\nbp05b5048p0\r\n$11",
                r"\r\nbp05b5048p0\r\n"
            ),
            "",
        ),
        ("GEODIST any a b", r"$13\r\n18919844.5891\r\n", ""),
    ]);
}

#[test]
fn distances_have_units() {
    expect(&[
        ("GEOADD k 13.361389 38.115556 Palermo 15.087269 37.502669 Catania", r":2\r\n", ""),
        ("GEODIST k Palermo Catania", r"$11\r\n166274.1516\r\n", ""),
        ("GEODIST k Palermo Catania m", r"$11\r\n166274.1516\r\n", ""),
        ("GEODIST k Palermo Catania KM", r"$8\r\n166.2742\r\n", ""),
        ("GEODIST k Palermo Catania ft", r"$11\r\n545518.8700\r\n", ""),
        ("GEODIST k Palermo Catania mi", r"$8\r\n103.3182\r\n", ""),
        ("GEODIST k Palermo Palermo km", r"$6\r\n0.0000\r\n", ""),
        ("GEODIST k Palermo nobody", r"$-1\r\n", r"_\r\n"),
        ("GEODIST none a b", r"$-1\r\n", r"_\r\n"),
        ("GEODIST none a b inch", r"-ERR unsupported unit provided. please use M, KM, FT, MI\r\n", ""),
        ("GEODIST k Palermo Catania km x", r"-ERR syntax error\r\n", ""),
        ("GEODIST k Palermo Catania inch x", r"-ERR syntax error\r\n", ""),
        ("SET s 1", r"+OK\r\n", ""),
        ("GEODIST s a b", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
    ]);
}

#[test]
fn searches_give_what_is_asked_for() {
    expect(&[
        (
            "GEOADD k 13.361389 38.115556 Palermo 15.087269 37.502669 Catania 12.758489 38.788135 edge1 17.241510 38.788135 edge2",
            r":4\r\n",
            "",
        ),
        ("GEOSEARCH k FROMLONLAT 15 37 BYRADIUS 200 km", r"*2\r\n$7\r\nPalermo\r\n$7\r\nCatania\r\n", ""),
        ("GEOSEARCH k FROMLONLAT 15 37 BYRADIUS 200 km ASC", r"*2\r\n$7\r\nCatania\r\n$7\r\nPalermo\r\n", ""),
        (
            "GEOSEARCH k FROMLONLAT 15 37 BYRADIUS 200000 M DESC WITHDIST",
            r"*2\r\n*2\r\n$7\r\nPalermo\r\n$11\r\n190442.4298\r\n*2\r\n$7\r\nCatania\r\n$10\r\n56441.2579\r\n",
            "",
        ),
        (
            "GEOSEARCH k FROMLONLAT 15 37 BYBOX 400 400 km ASC WITHCOORD WITHDIST WITHHASH",
            concat!(
                r"*4\r\n*4\r\n$7\r\nCatania\r\n$7\r\n56.4413\r\n:3479447370796909\r\n*2\r\n$18\r\n15.087267458438873\r\n$1",
                r"7\r\n37.50266842333162\r\n*4\r\n$7\r\nPalermo\r\n$8\r\n190.4424\r\n:3479099956230698\r\n*2\r\n$18\r\n13.",
                r"361389338970184\r\n$16\r\n38.1155563954963\r\n*4\r\n$5\r\nedge2\r\n$8\r\n279.7403\r\n:3481342659049484\r",
                r"\n*2\r\n$18\r\n17.241510450839996\r\n$17\r\n38.78813451624225\r\n*4\r\n$5\r\nedge1\r\n$8\r\n279.7405\r\n",
                r":3479273021651468\r\n*2\r\n$17\r\n12.75848776102066\r\n$17\r\n38.78813451624225\r\n"
            ),
            concat!(
                r"*4\r\n*4\r\n$7\r\nCatania\r\n$7\r\n56.4413\r\n:3479447370796909\r\n*2\r\n,15.087267458438873\r\n,37.5026",
                r"6842333162\r\n*4\r\n$7\r\nPalermo\r\n$8\r\n190.4424\r\n:3479099956230698\r\n*2\r\n,13.361389338970184\r",
                r"\n,38.1155563954963\r\n*4\r\n$5\r\nedge2\r\n$8\r\n279.7403\r\n:3481342659049484\r\n*2\r\n,17.24151045083",
                r"9996\r\n,38.78813451624225\r\n*4\r\n$5\r\nedge1\r\n$8\r\n279.7405\r\n:3479273021651468\r\n*2\r\n,12.7584",
                r"8776102066\r\n,38.78813451624225\r\n"
            ),
        ),
        (
            "GEOSEARCH k FROMLONLAT 15 37 BYBOX 400 400 km COUNT 3 WITHHASH",
            concat!(
                r"*3\r\n*2\r\n$7\r\nCatania\r\n:3479447370796909\r\n*2\r\n$7\r\nPalermo\r\n:3479099956230698\r\n*2\r\n$5\r",
                r"\nedge2\r\n:3481342659049484\r\n"
            ),
            "",
        ),
        ("GEOSEARCH k FROMLONLAT 15 37 BYBOX 400 400 km COUNT 2 ANY", r"*2\r\n$7\r\nPalermo\r\n$5\r\nedge1\r\n", ""),
        (
            "GEOSEARCH k FROMLONLAT 15 37 BYBOX 400 400 km COUNT 2 ANY DESC",
            r"*2\r\n$5\r\nedge1\r\n$7\r\nPalermo\r\n",
            "",
        ),
        ("GEOSEARCH k FROMMEMBER Palermo BYRADIUS 0 m WITHDIST", r"*1\r\n*2\r\n$7\r\nPalermo\r\n$6\r\n0.0000\r\n", ""),
        ("GEOSEARCH k FROMMEMBER Palermo BYBOX 650000 1 ft ASC ASC FROMMEMBER Catania", r"*1\r\n$7\r\nCatania\r\n", ""),
        (
            "GEOSEARCH k FROMLONLAT 0 0 BYRADIUS inf m",
            r"*4\r\n$7\r\nPalermo\r\n$5\r\nedge1\r\n$7\r\nCatania\r\n$5\r\nedge2\r\n",
            "",
        ),
        ("GEOSEARCH k FROMLONLAT 180 0 BYRADIUS 1 m", r"*0\r\n", ""),
        ("GEOSEARCH none FROMMEMBER nobody BYRADIUS 1 m", r"*0\r\n", ""),
        ("GEORADIUS k 15 37 200 km", r"*2\r\n$7\r\nPalermo\r\n$7\r\nCatania\r\n", ""),
        ("GEORADIUS k 15 37 200 km WITHDIST COUNT 1", r"*1\r\n*2\r\n$7\r\nCatania\r\n$7\r\n56.4413\r\n", ""),
        ("GEORADIUS_RO k 15 37 200 mi DESC COUNT 2", r"*2\r\n$5\r\nedge1\r\n$5\r\nedge2\r\n", ""),
        (
            "GEORADIUSBYMEMBER k Palermo 100 mi WITHCOORD",
            concat!(
                r"*2\r\n*2\r\n$7\r\nPalermo\r\n*2\r\n$18\r\n13.361389338970184\r\n$16\r\n38.1155563954963\r\n*2\r\n$5\r\ne",
                r"dge1\r\n*2\r\n$17\r\n12.75848776102066\r\n$17\r\n38.78813451624225\r\n"
            ),
            concat!(
                r"*2\r\n*2\r\n$7\r\nPalermo\r\n*2\r\n,13.361389338970184\r\n,38.1155563954963\r\n*2\r\n$5\r\nedge1\r\n*2\r",
                r"\n,12.75848776102066\r\n,38.78813451624225\r\n"
            ),
        ),
        (
            "GEORADIUSBYMEMBER_RO k Palermo 200 mi WITHHASH",
            concat!(
                r"*3\r\n*2\r\n$7\r\nPalermo\r\n:3479099956230698\r\n*2\r\n$5\r\nedge1\r\n:3479273021651468\r\n*2\r\n$7\r\n",
                r"Catania\r\n:3479447370796909\r\n"
            ),
            "",
        ),
        ("GEORADIUS none 15 37 200 km", r"*0\r\n", ""),
        ("GEORADIUSBYMEMBER none nobody x inch", r"*0\r\n", ""),
    ]);
}

#[test]
fn results_are_stored() {
    expect(&[
        ("GEOADD k 13.361389 38.115556 Palermo 15.087269 37.502669 Catania", r":2\r\n", ""),
        ("GEOSEARCHSTORE d k FROMLONLAT 15 37 BYRADIUS 200 km", r":2\r\n", ""),
        (
            "ZRANGE d 0 -1 WITHSCORES",
            r"*4\r\n$7\r\nPalermo\r\n$16\r\n3479099956230698\r\n$7\r\nCatania\r\n$16\r\n3479447370796909\r\n",
            r"*2\r\n*2\r\n$7\r\nPalermo\r\n,3479099956230698\r\n*2\r\n$7\r\nCatania\r\n,3479447370796909\r\n",
        ),
        ("GEOSEARCHSTORE d k FROMMEMBER Palermo BYBOX 400 400 km STOREDIST", r":2\r\n", ""),
        (
            "ZRANGE d 0 -1 WITHSCORES",
            r"*4\r\n$7\r\nPalermo\r\n$1\r\n0\r\n$7\r\nCatania\r\n$18\r\n166.27415156960032\r\n",
            r"*2\r\n*2\r\n$7\r\nPalermo\r\n,0\r\n*2\r\n$7\r\nCatania\r\n,166.27415156960032\r\n",
        ),
        ("GEOSEARCHSTORE d k FROMMEMBER Palermo BYBOX 400 400 km COUNT 1 ASC", r":1\r\n", ""),
        ("ZRANGE d 0 -1", r"*1\r\n$7\r\nPalermo\r\n", ""),
        ("GEOSEARCHSTORE k k FROMMEMBER Palermo BYBOX 400 400 km COUNT 2 ANY", r":2\r\n", ""),
        ("GEORADIUS k 15 37 200 km STORE e", r":2\r\n", ""),
        (
            "ZRANGE e 0 -1 WITHSCORES",
            r"*4\r\n$7\r\nPalermo\r\n$16\r\n3479099956230698\r\n$7\r\nCatania\r\n$16\r\n3479447370796909\r\n",
            r"*2\r\n*2\r\n$7\r\nPalermo\r\n,3479099956230698\r\n*2\r\n$7\r\nCatania\r\n,3479447370796909\r\n",
        ),
        ("GEORADIUS k 15 37 200 km STORE e STOREDIST f", r":2\r\n", ""),
        ("GEORADIUSBYMEMBER k Palermo 200 km STOREDIST e STORE g", r":2\r\n", ""),
        (
            "ZRANGE f 0 -1 WITHSCORES",
            r"*4\r\n$7\r\nCatania\r\n$16\r\n56.4412578701582\r\n$7\r\nPalermo\r\n$18\r\n190.44242984775784\r\n",
            r"*2\r\n*2\r\n$7\r\nCatania\r\n,56.4412578701582\r\n*2\r\n$7\r\nPalermo\r\n,190.44242984775784\r\n",
        ),
        (
            "ZRANGE g 0 -1 WITHSCORES",
            r"*4\r\n$7\r\nPalermo\r\n$16\r\n3479099956230698\r\n$7\r\nCatania\r\n$16\r\n3479447370796909\r\n",
            r"*2\r\n*2\r\n$7\r\nPalermo\r\n,3479099956230698\r\n*2\r\n$7\r\nCatania\r\n,3479447370796909\r\n",
        ),
        ("SET s 1", r"+OK\r\n", ""),
        ("GEORADIUS k 15 37 200 km STORE s", r":2\r\n", ""),
        ("TYPE s", r"+zset\r\n", ""),
        ("GEOSEARCHSTORE d k FROMLONLAT 0 0 BYRADIUS 1 m", r":0\r\n", ""),
        ("EXISTS d", r":0\r\n", ""),
        ("GEOSEARCHSTORE e none FROMMEMBER nobody BYRADIUS 1 m STOREDIST", r":0\r\n", ""),
        ("EXISTS e", r":0\r\n", ""),
        ("GEORADIUSBYMEMBER none nobody x inch STORE f", r":0\r\n", ""),
        ("EXISTS f", r":0\r\n", ""),
    ]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    expect(&[
        ("GEOADD k 13.361389 38.115556 Palermo 15.087269 37.502669 Catania", r":2\r\n", ""),
        ("SET s 1", r"+OK\r\n", ""),
        ("GEOSEARCH s FOO a b c d", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("GEORADIUS s 1 200 x inch", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", ""),
        ("GEORADIUS k 15 97 x inch", r"-ERR invalid longitude,latitude pair 15.000000,97.000000\r\n", ""),
        ("GEORADIUS k x 97 x inch", r"-ERR value is not a valid float\r\n", ""),
        ("GEORADIUS k 15 37 -1 km", r"-ERR radius cannot be negative\r\n", ""),
        ("GEORADIUS k 15 37 x inch", r"-ERR need numeric radius\r\n", ""),
        ("GEORADIUS k 15 37 -1 inch", r"-ERR radius cannot be negative\r\n", ""),
        ("GEORADIUS k 15 37 1 inch", r"-ERR unsupported unit provided. please use M, KM, FT, MI\r\n", ""),
        ("GEORADIUS k 15 37 200 km COUNT 0", r"-ERR COUNT must be > 0\r\n", ""),
        ("GEORADIUS k 15 37 200 km COUNT -1", r"-ERR COUNT must be > 0\r\n", ""),
        ("GEORADIUS k 15 37 200 km COUNT x", r"-ERR value is not an integer or out of range\r\n", ""),
        ("GEORADIUS k 15 37 200 km COUNT", r"-ERR syntax error\r\n", ""),
        ("GEORADIUS k 15 37 200 km ANY", r"-ERR the ANY argument requires COUNT argument\r\n", ""),
        ("GEORADIUS k 15 37 200 km FROMLONLAT 1 1", r"-ERR syntax error\r\n", ""),
        ("GEORADIUS k 15 37 200 km STORE", r"-ERR syntax error\r\n", ""),
        (
            "GEORADIUS k 15 37 200 km STORE d WITHDIST",
            r"-ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options\r\n",
            "",
        ),
        (
            "GEORADIUSBYMEMBER k Palermo 200 km STOREDIST d WITHHASH",
            r"-ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options\r\n",
            "",
        ),
        ("GEORADIUS_RO k 15 37 200 km STORE d", r"-ERR syntax error\r\n", ""),
        ("GEORADIUSBYMEMBER_RO k Palermo 200 km STOREDIST d", r"-ERR syntax error\r\n", ""),
        ("GEORADIUSBYMEMBER k nobody x inch", r"-ERR could not decode requested zset member\r\n", ""),
        ("GEOSEARCH k FROMMEMBER nobody BYRADIUS 1 m", r"-ERR could not decode requested zset member\r\n", ""),
        ("GEOSEARCH k FROMMEMBER Palermo BYRADIUS 1 m BYBOX 1 1 m", r"-ERR syntax error\r\n", ""),
        ("GEOSEARCH k FROMMEMBER Palermo BYBOX 1 1 m BYRADIUS 1 m", r"-ERR syntax error\r\n", ""),
        ("GEOSEARCH k FROMMEMBER Palermo FROMLONLAT 1 1 BYBOX 1 1 m", r"-ERR syntax error\r\n", ""),
        ("GEOSEARCH k FROMLONLAT 1 1 FROMMEMBER Palermo BYBOX 1 1 m", r"-ERR syntax error\r\n", ""),
        (
            "GEOSEARCH k FROMMEMBER Palermo ASC DESC ASC",
            r"-ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCH\r\n",
            "",
        ),
        (
            "geoSearch k BYBOX 1 1 m ASC",
            r"-ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for geoSearch\r\n",
            "",
        ),
        ("GEOSEARCH k FROMMEMBER Palermo BYBOX -1 1 m", r"-ERR height or width cannot be negative\r\n", ""),
        ("GEOSEARCH k FROMMEMBER Palermo BYBOX x -1 m", r"-ERR need numeric width\r\n", ""),
        ("GEOSEARCH k FROMMEMBER Palermo BYBOX 1 x m", r"-ERR need numeric height\r\n", ""),
        (
            "GEOSEARCH k FROMMEMBER Palermo BYBOX 1 1 inch",
            r"-ERR unsupported unit provided. please use M, KM, FT, MI\r\n",
            "",
        ),
        ("GEOSEARCH k FROMMEMBER Palermo BYBOX 1 1", r"-ERR syntax error\r\n", ""),
        ("GEOSEARCH k FROMMEMBER Palermo BYRADIUS 1 m STOREDIST", r"-ERR syntax error\r\n", ""),
        ("GEOSEARCH k FROMMEMBER Palermo BYRADIUS 1 m STORE d", r"-ERR syntax error\r\n", ""),
        ("GEOSEARCHSTORE d k FROMMEMBER Palermo BYRADIUS 1 m STORE d", r"-ERR syntax error\r\n", ""),
        (
            "GEOSEARCHSTORE d k FROMMEMBER Palermo BYRADIUS 1 m WITHDIST",
            r"-ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options\r\n",
            "",
        ),
        (
            "GEOSEARCHSTORE d k FROMMEMBER Palermo COUNT 3 ASC",
            r"-ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCHSTORE\r\n",
            "",
        ),
        (
            "GEOSEARCH none BYRADIUS 1 m ASC DESC",
            r"-ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for GEOSEARCH\r\n",
            "",
        ),
    ]);
}

/// Searches with `COUNT` among many points in the same few places, where the order of equals shows.
#[test]
fn equals_come_in_one_order() {
    let mut m = Memory::new();
    for n in 0..50 {
        m.run(&format!("GEOADD k {} 10 m{n}", n % 3));
    }
    for (line, members) in [
        (
            "GEOSEARCH k FROMLONLAT 1 10 BYRADIUS 500 km COUNT 20",
            "m7 m10 m13 m16 m19 m22 m25 m28 m31 m34 m37 m4 m40 m43 m46 m49 m1 m42 m12 m15",
        ),
        ("GEOSEARCH k FROMLONLAT 1 10 BYRADIUS 500 km COUNT 7 DESC", "m11 m5 m47 m44 m41 m38 m35"),
        ("GEOSEARCH k FROMLONLAT 1 10 BYRADIUS 500 km COUNT 10 ANY", "m0 m12 m15 m18 m21 m24 m27 m3 m30 m33"),
        (
            "GEOSEARCH k FROMLONLAT 1 10 BYRADIUS 500 km COUNT 50 ASC",
            "m1 m10 m13 m16 m19 m22 m25 m28 m31 m34 m37 m4 m40 m43 m46 m49 m7 m0 m12 m15 m18 m21 m24 m27 m3 m30 \
             m33 m36 m39 m42 m45 m48 m6 m9 m11 m14 m17 m2 m20 m23 m26 m29 m32 m35 m38 m41 m44 m47 m5 m8",
        ),
    ] {
        let reply = m.run(line);
        let found: Vec<&str> = reply.split(r"\r\n").skip(2).step_by(2).collect();
        assert_eq!(found.join(" "), members, "{line}");
    }
}

#[test]
fn events_tell_of_changes_alone() {
    let mut m = Memory::new();
    let listens = m.client;
    m.expect(&[("CONFIG SET notify-keyspace-events Ezg", r"+OK\r\n")]);
    m.run("PSUBSCRIBE *");
    m.connect();
    m.take_sent(listens);
    let heard = |m: &mut Memory| -> Vec<String> {
        let sent = m.take_sent(listens);
        let parts: Vec<&str> = sent.split(r"\r\n").collect();
        let events = parts.iter().zip(parts.iter().skip(2)).filter(|(part, _)| part.starts_with("__keyevent@0__:"));
        events.map(|(part, key)| format!("{} {key}", part.trim_start_matches("__keyevent@0__:"))).collect()
    };
    for (line, events, changes) in [
        ("GEOADD k 1 1 a 2 2 b 3 3 c", &["zadd k"][..], 3),
        ("GEOADD k 1 1 a", &[][..], 0),
        ("GEOADD k CH 2 2 a 2 2 b", &["zadd k"][..], 1),
        ("GEOADD k XX 1 1 nobody", &[][..], 0),
        ("GEOSEARCHSTORE d k FROMLONLAT 2 2 BYRADIUS 500 km", &["geosearchstore d"][..], 3),
        ("GEOSEARCHSTORE d k FROMLONLAT 50 2 BYRADIUS 1 km", &["del d"][..], 1),
        ("GEOSEARCHSTORE d k FROMLONLAT 50 2 BYRADIUS 1 km", &[][..], 0),
        ("GEORADIUS k 2 2 500 km STORE d", &["georadiusstore d"][..], 3),
        ("GEORADIUSBYMEMBER k b 500 km STOREDIST d COUNT 1", &["georadiusstore d"][..], 1),
        ("GEORADIUSBYMEMBER none b 500 km STORE d", &["del d"][..], 1),
        ("GEORADIUS k 2 2 500 km", &[][..], 0),
    ] {
        let before = m.server.stats.dirty;
        m.run(line);
        assert_eq!(
            (heard(&mut m), m.server.stats.dirty - before),
            (events.iter().map(|e| e.to_string()).collect(), changes),
            "{line}"
        );
    }
}

/// Every member and its distance in metres, from an answer with `WITHDIST` in RESP2.
fn distances(reply: &str) -> Vec<(String, f64)> {
    let parts: Vec<&str> = reply.split(r"\r\n").collect();
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{text} is no distance"));
    parts[1..parts.len() - 1].chunks(5).map(|found| (found[2].to_string(), number(found[4]))).collect()
}

/// Random searches against the distance of every member from the centre: of few members and many, at the date line and
/// near the poles.
#[test]
fn searches_find_what_is_near() {
    let mut prng = Prng::seeded(1);
    let mut unit = move || (prng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    for (members, lon, lat) in
        [(100, 180.0, 70.0), (1_000, 180.0, 70.0), (400, 0.5, 70.0), (300, 180.0, 85.0), (100, 180.0, 85.0)]
    {
        let mut m = Memory::new();
        let mut place = || {
            // A narrow band lies on the date line.
            let east = (2.0 * unit() - 1.0) * lon;
            let east = if lon < 1.0 { east + if east > 0.0 { -180.0 } else { 180.0 } } else { east };
            (east, (2.0 * unit() - 1.0) * lat)
        };
        for n in 0..members {
            let (east, north) = place();
            m.run(&format!("GEOADD k {east} {north} m{n}"));
        }
        for turn in 0..40 {
            let (east, north) = place();
            m.run(&format!("GEOADD k {east} {north} center"));
            let radius = 10f64.powf(3.0 + 3.0 * f64::from(turn) / 40.0).min(if lat > 80.0 { 1e5 } else { 1e6 });
            let mut near: Vec<(String, f64)> = (0..members)
                .map(|n| format!("m{n}"))
                .chain([String::from("center")])
                .map(|member| {
                    let reply = m.run(&format!("GEODIST k center {member}"));
                    let distance = reply.split(r"\r\n").nth(1).and_then(|text| text.parse().ok());
                    (member, distance.expect("both are there"))
                })
                .filter(|(_, distance)| *distance <= radius)
                .collect();
            near.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
            let mut found =
                distances(&m.run(&format!("GEOSEARCH k FROMMEMBER center BYRADIUS {radius} m WITHDIST ASC")));
            found.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
            assert_eq!(found, near, "{radius} around {east} {north}");
        }
    }
}
