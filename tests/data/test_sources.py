"""The mappings of the project on a few rows in the format of each data set: what becomes of them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from planogram.data.mapping import load_mapping

SOURCES = Path(__file__).parents[2] / "jobs" / "configs" / "sources"


@pytest.fixture
def shop(source_folder, import_mapping):
    """shop(name, files): the tables that a mapping makes of these files; no row is quarantined."""

    def run(name, files):
        for path, text in files.items():
            (source_folder / path).parent.mkdir(exist_ok=True)
            (source_folder / path).write_text(text)
        tables = import_mapping(load_mapping(str(SOURCES / f"{name}.yaml")))
        assert [row for table in tables.values() for row in table.quarantine] == []
        return tables

    return run


def rows(imported, *columns):
    """The values of some columns, sorted: lists for lists, None for what is missing."""
    return sorted(([plain(value) for value in row] for row in imported.rows[list(columns)].values), key=str)


def plain(value):
    if isinstance(value, np.ndarray | list):
        return list(value)
    return None if pd.isna(value) else value


@pytest.mark.parametrize(
    ("name", "suffix"), [("match_abt_buy", ""), ("match_amazon_google", ""), ("match_wdc_computers", ".small")]
)
def test_match(shop, name, suffix):
    offers = 'COL title VAL  "Lamp \u2028 24" x\tCOL title VAL rug COL price VAL 5.0\t'
    files = {f"train.txt{suffix}": f"{offers}0\n", f"valid.txt{suffix}": f"{offers}1\n", "test.txt": f"{offers}0\n"}
    pairs = shop(name, files)["pairs"]
    assert rows(pairs, "split", "label") == [["test", 0], ["train", 0], ["valid", 1]]
    assert set(pairs.rows["text_b"]) == {"rug 5.0"}
    assert pairs.rows["text_a"][0].startswith('"Lamp')


def test_reviews_en_womens_clothing(shop):
    header = ",Clothing ID,Age,Title,Review Text,Rating,Recommended IND,Positive Feedback Count,Class Name\n"
    text = f'{header}1,10,30,Nice,"So, soft",5,1,0,Knits\n4,10,30,,Thin,2,0,0,Knits\n5,11,30,Nice,,4,1,0,\n'
    reviews = shop("reviews_en_womens_clothing", {"r.csv": text})["reviews"]
    assert rows(reviews, "review_id", "text", "rating", "label", "product_id", "category") == [
        ["1", "Nice. So, soft", 5.0, "recommended", "10", "Knits"],
        ["4", "Thin", 2.0, "not_recommended", "10", "Knits"],
    ]


def test_amazon_office_products(shop):
    header = "user_id,history_item_title,item_title,history_item_id,item_id\n"
    files = {
        "Office_Products.item.json": '{"3": {"title": "Pen", "description": "[\'A pen.\', \'Red.\']", '
        '"brand": "B", "categories": ""}, "4": {"title": "Ink", "description": "[\'\']"}}',
        "valid.csv": f"{header}u,['x'],y,[926],38\nu,\"['x', 'y']\",z,\"[926, 38]\",206\n",
        "test.csv": f'{header}v,x,y,"[1, 2]",3\n',
    }
    tables = shop("amazon_office_products", files)
    assert rows(tables["products"], "product_id", "title", "description", "brand") == [
        ["3", "Pen", "A pen. Red.", "B"],
        ["4", "Ink", None, None],
    ]
    # The training row of the second line would have a target of validation.
    assert rows(tables["histories"], "split", "history", "product_id", "user_id") == [
        ["test", ["1", "2"], "3", "v"],
        ["train", [], "926", "u"],
        ["valid", ["926", "38"], "206", "u"],
        ["valid", ["926"], "38", "u"],
    ]


def test_s3rec_beauty(shop):
    files = {"Beauty.txt": "7 1 2 3 4 5\n8 9 9 9 1\n", "Beauty_item2attributes.json": '{"1": [4, 5], "9": [6]}'}
    tables = shop("s3rec_beauty", files)
    assert rows(tables["products"], "product_id", "title", "category") == [["1", "item 1", "4 5"], ["9", "item 9", "6"]]
    assert rows(tables["histories"], "history_id", "history", "product_id", "user_id") == [
        ["test/7", ["1", "2", "3", "4"], "5", "7"],
        ["test/8", ["9", "9", "9"], "1", "8"],
        ["train/7", ["1", "2"], "3", "7"],
        ["train/8", ["9"], "9", "8"],
        ["valid/7", ["1", "2", "3"], "4", "7"],
        ["valid/8", ["9", "9"], "9", "8"],
    ]


def test_amazon_games_llmrank(shop):
    header = "user_id:token\titem_id_list:token_seq\titem_id:token\n"
    files = {
        "Games-6k.item": 'item_id:token\ttitle:token_seq\n0\tFire "Emblem\n',
        "Games-6k.valid.inter": f"{header}0\t5 6 7\t8\n",
        "Games-6k.test.inter": f"{header}0\t5 6 7 8\t9\n",
    }
    tables = shop("amazon_games_llmrank", files)
    assert rows(tables["products"], "product_id", "title") == [["0", 'Fire "Emblem']]
    assert rows(tables["histories"], "history_id", "history", "product_id") == [
        ["test/0", ["5", "6", "7", "8"], "9"],
        ["train/0", ["5", "6"], "7"],
        ["valid/0", ["5", "6", "7"], "8"],
    ]


FILMS = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n1\tToy Story\t1995\tComedy Film\n"


def test_movielens_100k(shop):
    ratings = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t1\t3\t881250949\n"
    tables = shop("movielens_100k", {"ml-100k.item": FILMS, "ml-100k.inter": ratings})
    assert rows(tables["products"], "product_id", "title", "category", "attributes") == [
        ["1", "Toy Story", "Comedy Film", [("year", "1995")]]
    ]
    [event] = tables["interactions"].rows.to_dict("records")
    assert (event["event_id"], event["user_id"], event["product_id"], event["rating"]) == ("196/1", "196", "1", 3.0)
    assert str(event["timestamp"]) == "1997-12-04 15:55:49+00:00"


def test_tallrec_movie(shop):
    header = "user_id,history_movie_id,history_rating,movie_id,rating,timestamp\n"
    files = {
        f"tallrec_movie/movielens-{split}.csv": f"{header}{user},\"['1', '2']\",\"[0, 1]\",{user},1,891194089\n"
        for user, split in enumerate(("train", "valid", "test"))
    }
    tables = shop("tallrec_movie", {**files, "movielens_100k/ml-100k.item": FILMS})
    assert rows(tables["products"], "title") == [["Toy Story"]]
    assert rows(tables["histories"], "history_id", "history", "history_labels", "label", "split") == [
        ["0/0", ["1", "2"], ["0", "1"], 1.0, "train"],
        ["1/1", ["1", "2"], ["0", "1"], 1.0, "valid"],
        ["2/2", ["1", "2"], ["0", "1"], 1.0, "test"],
    ]


def test_purchase_online_shoppers(shop):
    row = "0,0,0,0,2,64,0,0.1,0,0,Feb,2,2,1,2,Returning_Visitor,FALSE"
    tables = shop(
        "purchase_online_shoppers", {"online_shoppers_intention.csv": f"{row},TRUE\n{row},FALSE\n{row},FALSE\n"}
    )
    assert rows(tables["sessions"], "session_id", "purchased") == [["1", 1], ["2", 0], ["3", 0]]
    features = dict(tables["sessions"].rows["features"][0])
    assert (len(features), features["month"], features["exit_rates"]) == (17, "Feb", "0.1")


def test_open_bandit(shop):
    header = ",timestamp,item_id,position,click,propensity_score,user_feature_0\n"
    time = "2019-11-24 00:01:03.979311+00:00"
    files = {
        "item_context-men.csv": f",item_id,{','.join(f'item_feature_{i}' for i in range(4))}\n0,2,-0.6,a,b,c\n",
        "bts-men.csv": f"{header}0,{time},2,2,1,0.05,x\n",
        "random-men.csv": f"{header}0,{time},2,3,0,0.03,x\n",
    }
    tables = shop("open_bandit", files)
    assert rows(tables["products"], "product_id", "title") == [["2", "item 2"]]
    assert rows(tables["interactions"], "event_id", "event_type", "ranking_id", "position", "propensity") == [
        ["bts/click/0", "click", "bts/0", 2, 0.05],
        ["bts/impression/0", "impression", "bts/0", 2, 0.05],
        ["random/impression/0", "impression", "random/0", 3, 0.03],
    ]


def test_price_dominicks_oj(shop):
    sale = "8256.0,3.87,minute.maid,0\n"
    tables = shop("price_dominicks_oj", {"oj.csv": f"sales,price,brand,feat\n{sale}{sale}"})
    assert rows(tables["products"], "product_id", "title") == [["minute.maid", "Minute Maid orange juice"]]
    assert (
        rows(tables["demand"], "product_id", "price", "units", "features")
        == [["minute.maid", 3.87, 8256.0, [("feat", "0")]]] * 2
    )


def test_price_ecdat_brand_choice(shop):
    brands = ("sunshine", "kleebler", "nabisco", "private")
    columns = [f"{what}.{brand}" for what in ("disp", "feat", "price") for brand in brands]
    cracker = f"rownames,id,{','.join(columns)},choice\n1,7,1,0,0,0,0,0,0,1,98,88,120,71,nabisco\n"
    yogurts = ("yoplait", "dannon", "hiland", "weight")
    columns = [f"{what}.{brand}" for what in ("feat", "price") for brand in yogurts]
    files = {
        "Cracker.csv": f"{cracker}2,7,0,0,0,0,0,0,0,0,98,88,0.0,71,private\n",
        "Yogurt.csv": f"rownames,id,{','.join(columns)},choice\n1,1,0,0,0,0,10.8,8.1,6.1,7.9,weight\n",
        "Tuna.csv": "rownames,Tuna.hid,Tuna.id,Tuna.choice,price.skw,price.cosw,price.sko,price.coso,price.pw\n"
        "1,1,1,skw,0.59,0.69,0.59,0.59,0.59\n",
    }
    tables = shop("price_ecdat_brand_choice", files)
    assert len(tables["products"].rows) == 13
    demand = tables["demand"]
    assert rows(demand, "choice_set", "product_id", "chosen", "price")[:4] == [
        ["cracker/7/1", "cracker/kleebler", 0, 0.88],
        ["cracker/7/1", "cracker/nabisco", 1, 1.2],
        ["cracker/7/1", "cracker/private", 0, 0.71],
        ["cracker/7/1", "cracker/sunshine", 0, 0.98],
    ]
    assert demand.rows.groupby("choice_set")["chosen"].agg(["count", "sum"]).to_numpy().tolist() == [
        [4, 1], [5, 1], [4, 1],
    ]  # fmt: skip
    assert ["cracker/private", [("disp", "0"), ("feat", "1")]] in rows(demand, "product_id", "features")


def test_price_retail_olist(shop):
    row = {
        "product_id": "bed1", "product_category_name": "bed_bath_table", "month_year": "01-05-2017", "qty": "3",
        "unit_price": "45.95", "freight_price": "15.1", "lag_price": "45.9", "comp_1": "89.9",
        "product_weight_g": "350", "product_photos_qty": "2", "product_score": "4", "volume": "3800",
        "weekday": "23", "weekend": "8", "holiday": "1",
        "comp_2": "215", "comp_3": "45.95", "ps1": "3.9", "ps2": "4.4", "ps3": "4",
    }  # fmt: skip
    later = {**row, "month_year": "01-06-2017", "qty": "1"}
    text = "\n".join(",".join(values) for values in (row, row.values(), later.values()))
    tables = shop("price_retail_olist", {"retail_price.csv": f"{text}\n"})
    assert rows(tables["products"], "product_id", "title") == [["bed1", "bed bath table"]]
    assert rows(tables["demand"], "period", "units", "price") == [["2017-05", 3.0, 45.95], ["2017-06", 1.0, 45.95]]
    assert len(tables["demand"].rows["features"][0]) == 11


def test_every_mapping_says_what_it_is_and_how_to_use_it():
    own = {"match_abt_buy", "online_retail", "retrotech", "reviews_zh_online_shopping", "crowdflower_search_relevance"}
    for path in SOURCES.iterdir():
        text = path.read_text()
        assert text.startswith("# ")
        assert path.stem in own or f"--source jobs/configs/sources/{path.name} " in text
