//! The configuration as its users meet it: files, `--set`s, messages.

use super::*;

#[test]
fn look() {
    let text = r#"
ms = 1
msl = 2
tcp2 = 3
[table]
max_connections = 0
memory = "4KB"
[tcp]
msl = 30
fin_timout = "3s"
loose = "yes"
time_wait_reuse = "rfc6192"
orphan_retries = 16
frobnicate = 1
[workers]
cpus = []
[tpc]
[[udp]]
[port]
[[bridge]]
new_from = []
[[bridge]]
ports = ["a"]
[metrics]
listen = "localhost"
"#;
    for (t, o) in [
        (
            text,
            vec![
                "tcp.msl",
                "tcp=3",
                "tcp.msl=-3s",
                "port.0.queues=all",
                "x.y=3",
                "tcp.loose=[",
                "workers.cpus=[1,1]",
                "msl=3",
            ],
        ),
        ("a = [1,\n[tcp\nmsl = 30s\nmsl = 30s\n", vec![]),
        ("[tcp]\nmsl = 30s\nmsl = \"40s\"\nmsl=\"\n", vec![]),
        ("\u{feff}[tcp]\nmls=1\n", vec![]),
    ] {
        let o: Vec<String> = o.into_iter().map(str::to_owned).collect();
        println!("{}\n", parse("lastack.toml", t, &o).unwrap_err());
    }
    println!("{}", Config::default());
    println!("{}", reference());
}
