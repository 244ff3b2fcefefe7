"""The vocabulary that the questions are made of: lists, tables and pairs."""

from __future__ import annotations

NOUNS: tuple[str, ...] = tuple(
    """apple banana bird book bread bridge cat chair cheese clock coat cow dog door duck eagle egg
    fish flag flower forest fox garden gate goat hat hill horse house ice island jar key king kite
    lake lamp leaf lemon lion map milk moon mouse night nose ocean onion orange paper pear pig
    queen rabbit rain ring river road rose salt ship shoe snow star sugar sun table tiger train
    tree uncle valley wall water window wolf yard zebra zoo""".split()
)

NAMES: tuple[str, ...] = tuple(
    """Adam Alice Anna Ben Clara David Emma Eva Frank Grace Hugo Ida Jack Laura Leo Lily Maria Nina
    Oscar Paul Rosa Sam Tom Vera""".split()
)

ZH_NOUNS: tuple[str, ...] = tuple(
    """苹果 香蕉 小鸟 书 面包 桥 椅子 猫 狗 门 鸭子 鸡蛋 鱼 花 森林 狐狸 花园 山羊 帽子 马 房子 冰 钥匙 国王 湖 灯 叶子 狮子 地图 牛奶 月亮 山 纸 女王 兔子 雨
    河 路 雪 太阳 桌子 老虎 火车 树 水 窗户""".split()
)

OPPOSITES: tuple[tuple[str, str], ...] = (
    ("hot", "cold"), ("big", "small"), ("up", "down"), ("left", "right"), ("day", "night"),
    ("good", "bad"), ("old", "new"), ("open", "closed"), ("fast", "slow"), ("high", "low"),
    ("happy", "sad"), ("light", "dark"), ("hard", "soft"), ("wet", "dry"), ("full", "empty"),
    ("early", "late"), ("long", "short"), ("rich", "poor"), ("strong", "weak"), ("wide", "narrow"),
    ("loud", "quiet"), ("clean", "dirty"), ("young", "aged"), ("near", "far"), ("true", "false"),
    ("love", "hate"), ("win", "lose"), ("buy", "sell"), ("push", "pull"), ("give", "take"),
    ("start", "stop"), ("begin", "end"), ("inside", "outside"), ("before", "after"),
    ("always", "never"), ("more", "less"), ("many", "few"), ("sweet", "bitter"),
    ("easy", "difficult"), ("cheap", "expensive"), ("yes", "no"), ("north", "south"),
    ("east", "west"), ("friend", "enemy"), ("war", "peace"), ("summer", "winter"),
    ("ask", "answer"),
)  # fmt: skip

ZH_OPPOSITES: tuple[tuple[str, str], ...] = (
    ("大", "小"), ("高", "低"), ("长", "短"), ("多", "少"), ("快", "慢"), ("冷", "热"),
    ("上", "下"), ("左", "右"), ("前", "后"), ("里", "外"), ("黑", "白"), ("好", "坏"),
    ("新", "旧"), ("早", "晚"), ("远", "近"), ("开", "关"), ("轻", "重"), ("买", "卖"),
    ("来", "去"), ("东", "西"), ("南", "北"), ("男", "女"),
)  # fmt: skip

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
ZH_WEEKDAYS = ("星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip

CAPITALS: tuple[tuple[str, str], ...] = (
    ("France", "Paris"), ("Germany", "Berlin"), ("Italy", "Rome"), ("Spain", "Madrid"),
    ("Portugal", "Lisbon"), ("Ireland", "Dublin"), ("Austria", "Vienna"), ("Switzerland", "Bern"),
    ("Belgium", "Brussels"), ("Denmark", "Copenhagen"), ("Norway", "Oslo"), ("Sweden", "Stockholm"),
    ("Finland", "Helsinki"), ("Iceland", "Reykjavik"), ("Poland", "Warsaw"),
    ("Hungary", "Budapest"), ("Romania", "Bucharest"), ("Bulgaria", "Sofia"), ("Greece", "Athens"),
    ("Croatia", "Zagreb"), ("Ukraine", "Kyiv"), ("Russia", "Moscow"), ("Turkey", "Ankara"),
    ("Egypt", "Cairo"), ("Morocco", "Rabat"), ("Kenya", "Nairobi"), ("Nigeria", "Abuja"),
    ("China", "Beijing"), ("Japan", "Tokyo"), ("South Korea", "Seoul"), ("Vietnam", "Hanoi"),
    ("Thailand", "Bangkok"), ("Indonesia", "Jakarta"), ("the Philippines", "Manila"),
    ("India", "New Delhi"), ("Pakistan", "Islamabad"), ("Nepal", "Kathmandu"), ("Iran", "Tehran"),
    ("Iraq", "Baghdad"), ("Syria", "Damascus"), ("Lebanon", "Beirut"), ("Jordan", "Amman"),
    ("Saudi Arabia", "Riyadh"), ("Qatar", "Doha"), ("Australia", "Canberra"),
    ("New Zealand", "Wellington"), ("Canada", "Ottawa"), ("the United States", "Washington"),
    ("Mexico", "Mexico City"), ("Cuba", "Havana"), ("Brazil", "Brasilia"),
    ("Argentina", "Buenos Aires"), ("Chile", "Santiago"), ("Peru", "Lima"), ("Colombia", "Bogota"),
    ("Venezuela", "Caracas"), ("the United Kingdom", "London"), ("the Netherlands", "Amsterdam"),
)  # fmt: skip

ZH_CAPITALS: tuple[tuple[str, str], ...] = (
    ("中国", "北京"), ("法国", "巴黎"), ("德国", "柏林"), ("意大利", "罗马"), ("西班牙", "马德里"),
    ("英国", "伦敦"), ("俄罗斯", "莫斯科"), ("日本", "东京"), ("韩国", "首尔"), ("泰国", "曼谷"),
    ("越南", "河内"), ("埃及", "开罗"), ("希腊", "雅典"), ("瑞典", "斯德哥尔摩"),
    ("挪威", "奥斯陆"), ("芬兰", "赫尔辛基"), ("丹麦", "哥本哈根"), ("波兰", "华沙"),
    ("奥地利", "维也纳"), ("加拿大", "渥太华"), ("美国", "华盛顿"), ("古巴", "哈瓦那"),
    ("秘鲁", "利马"), ("葡萄牙", "里斯本"), ("爱尔兰", "都柏林"),
)  # fmt: skip

SYLLABLES: tuple[str, ...] = tuple(
    """ba be bo da do fa ga hi jo ka ko la le lo ma me mi mo na ne no pa po ra re ri ro sa so su ta
    te ti to va vi wa zo""".split()
)
