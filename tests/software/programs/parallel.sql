create table t as select g, md5(g::text) as m from generate_series(1, 300000) g;
analyze t;
checkpoint;
set parallel_setup_cost = 0;
set parallel_tuple_cost = 0;
set min_parallel_table_scan_size = 0;
explain (analyze, costs off) select count(*) from t where m like 'a%';
